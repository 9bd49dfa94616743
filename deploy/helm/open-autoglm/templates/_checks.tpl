{{/* What the schema cannot say: values that do not go together, a sentence each. */}}
{{- define "open-autoglm.check" -}}
{{- $access := .Values.access -}}
{{- $tokens := or $access.tokens.jwks $access.tokens.jwksSecret.name -}}
{{- $asks := or $access.keysSecret.name $tokens -}}
{{- if and (not $access.openToAll) (not $asks) -}}
{{- fail "nobody would be asked who they are: name access.keysSecret or access.tokens, or let everybody in with access.openToAll=true" -}}
{{- end -}}
{{- if and $access.openToAll $asks -}}
{{- fail "access.openToAll contradicts access.keysSecret and access.tokens: leave out one or the other" -}}
{{- end -}}
{{- if and $access.tokens.jwks $access.tokens.jwksSecret.name -}}
{{- fail "access.tokens.jwks and access.tokens.jwksSecret are two places for the same keys: leave out one" -}}
{{- end -}}
{{- if and $tokens (not (and $access.tokens.issuer $access.tokens.audiences)) -}}
{{- fail "access.tokens needs issuer and audiences: a token for another service is no token here" -}}
{{- end -}}
{{- if eq .Values.indexes.mode "own" -}}
{{- if or .Values.autoscaling.enabled (ne (int .Values.replicas) 1) .Values.candidate.enabled -}}
{{- fail "indexes.mode=own keeps indexes that one pod writes: set replicas=1, autoscaling.enabled=false and candidate.enabled=false, or use indexes.mode=shared" -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.indexes.mode "shared") (not .Values.indexes.claim) -}}
{{- fail "indexes.mode=shared needs indexes.claim, the claim on which the indexes lie" -}}
{{- end -}}
{{- if and (eq .Values.indexes.mode "none") .Values.indexes.claim -}}
{{- fail "indexes.claim is given, but indexes.mode=none mounts nothing: use own or shared" -}}
{{- end -}}
{{- if gt (int .Values.autoscaling.min) (int .Values.autoscaling.max) -}}
{{- fail "autoscaling.min is above autoscaling.max" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (not .Values.autoscaling.cpu) (not .Values.autoscaling.metric.name) -}}
{{- fail "autoscaling looks at nothing: set autoscaling.cpu or autoscaling.metric.name, or autoscaling.enabled=false" -}}
{{- end -}}
{{- if and .Values.redis.address .Values.redis.addressSecret.name -}}
{{- fail "redis.address and redis.addressSecret are two addresses of one server: leave out one" -}}
{{- end -}}
{{- if and (not .Values.candidate.enabled) (or .Values.istio.candidateWeight .Values.istio.mirrorPercent) -}}
{{- fail "istio.candidateWeight and istio.mirrorPercent need candidate.enabled=true: there is nobody to send requests to" -}}
{{- end -}}
{{- if and (or .Values.istio.requireToken .Values.istio.authorizationProvider) (not $access.tokens.jwks) -}}
{{- fail "istio.requireToken and istio.authorizationProvider need access.tokens.jwks: Istio fetches the issuer's keys itself" -}}
{{- end -}}
{{- if and (or .Values.istio.requireToken .Values.istio.authorizationProvider) $access.keysSecret.name -}}
{{- fail "istio.requireToken and istio.authorizationProvider would refuse the API keys of access.keysSecret: leave out one or the other" -}}
{{- end -}}
{{- if and .Values.opa.envoy.enabled (not $tokens) -}}
{{- fail "opa.envoy decides by the tokens that Envoy has checked: it needs access.tokens" -}}
{{- end -}}
{{- end }}
