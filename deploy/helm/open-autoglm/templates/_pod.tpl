{{/* The server's pods: the stable ones and the candidate's, which differ in image and models. */}}

{{/* Takes {root, track}. */}}
{{- define "open-autoglm.variables" -}}
{{- $root := .root -}}
{{- $name := include "open-autoglm.name" $root -}}
{{- $access := $root.Values.access -}}
{{- $hosts := concat (list $name (printf "%s.%s" $name $root.Release.Namespace) (printf "%s.%s.svc" $name $root.Release.Namespace) (include "open-autoglm.host" $root)) $root.Values.istio.hosts $root.Values.server.allowedHosts -}}
{{- /* Envoy marks the host of a copied request, unless it is told not to, as newer versions of Istio do. */ -}}
{{- if eq .track "candidate" }}{{ range $hosts }}{{ $hosts = append $hosts (printf "%s-shadow" .) }}{{ end }}{{ end -}}
- {name: AUTOGLM_SERVE_WORKERS__WORKERS, value: {{ $root.Values.server.workers | quote }}}
- {name: AUTOGLM_SERVE_WORKERS__THREADS, value: {{ $root.Values.server.threads | quote }}}
- {name: AUTOGLM_SERVE_WORKERS__DRAIN_SECONDS, value: {{ $root.Values.server.drainSeconds | quote }}}
- {name: AUTOGLM_SERVE_ALLOWED_HOSTS, value: {{ $hosts | uniq | join "," | quote }}}
{{- if $access.openToAll }}
- {name: AUTOGLM_SERVE_ACCESS__OFF, value: "true"}
{{- end }}
{{- if $access.keysSecret.name }}
- {name: AUTOGLM_SERVE_ACCESS__KEYS, value: /etc/open-autoglm/keys/{{ $access.keysSecret.key }}}
{{- end }}
{{- with $access.tokens }}
{{- if or .jwks .jwksSecret.name }}
- {name: AUTOGLM_SERVE_ACCESS__JWKS, value: {{ .jwks | default (printf "/etc/open-autoglm/jwks/%s" .jwksSecret.key) | quote }}}
- {name: AUTOGLM_SERVE_ACCESS__ISSUER, value: {{ .issuer | quote }}}
- {name: AUTOGLM_SERVE_ACCESS__AUDIENCE, value: {{ join "," .audiences | quote }}}
{{- end }}
{{- end }}
{{- if $root.Values.opa.sidecar.enabled }}
- {name: AUTOGLM_SERVE_ACCESS__OPA, value: "http://127.0.0.1:8181"}
{{- else if $access.policyConfigMap.name }}
- {name: AUTOGLM_SERVE_ACCESS__POLICY, value: /etc/open-autoglm/policy/{{ $access.policyConfigMap.key }}}
{{- end }}
{{- include "open-autoglm.redis" $root }}
{{- with $root.Values.server.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The cache's address, and that of the quotas. */}}
{{- define "open-autoglm.redis" -}}
{{- with .Values.redis }}
{{- if .addressSecret.name }}
- name: AUTOGLM_CACHE
  valueFrom: {secretKeyRef: {name: {{ .addressSecret.name }}, key: {{ .addressSecret.key }}}}
{{- else if .address }}
- {name: AUTOGLM_CACHE, value: {{ .address | quote }}}
{{- else if .enabled }}
{{- if .passwordSecret.name }}
- name: REDIS_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ .passwordSecret.name }}, key: {{ .passwordSecret.key }}}}
{{- end }}
- {name: AUTOGLM_CACHE, value: "redis://{{ if .passwordSecret.name }}:$(REDIS_PASSWORD)@{{ end }}{{ include "open-autoglm.name" $ }}-redis:6379"}
{{- else }}
- {name: AUTOGLM_CACHE, value: memory}
{{- end }}
{{- if and .quotas (or .enabled .address .addressSecret.name) }}
- {name: AUTOGLM_SERVE_ACCESS__QUOTA_STORE, value: $(AUTOGLM_CACHE)}
{{- end }}
{{- end }}
{{- end }}

{{/* Takes {root, track, image, models}. */}}
{{- define "open-autoglm.pod" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
metadata:
  labels:
    {{- include "open-autoglm.labels" (dict "root" $root "part" "server") | nindent 4 }}
    open-autoglm/track: {{ .track }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # A change of the settings is a change of the pods.
    checksum/settings: {{ include (print $root.Template.BasePath "/settings.yaml") $root | sha256sum }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "open-autoglm.account" $root }}
  automountServiceAccountToken: false
  # Kubernetes would set AUTOGLM_..._PORT for a Service of that name, and the server takes such variables for settings.
  enableServiceLinks: false
  securityContext:
    {{- include "open-autoglm.user" 10001 | nindent 4 }}
  # Long enough for the others to learn of it, for what was accepted, and for a little more.
  terminationGracePeriodSeconds: {{ add $values.server.quietSeconds $values.server.drainSeconds 10 }}
  {{- with $values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - {name: {{ . }}}
    {{- end }}
  {{- end }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "open-autoglm.selector" (dict "root" $root "part" "server") | nindent 10 }}
  {{- if $values.opa.sidecar.enabled }}
  {{- include "open-autoglm.opa.sidecar" (dict "root" $root "image" .image) | nindent 2 }}
  {{- end }}
  containers:
    - name: server
      image: {{ .image }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args:
        - serve
        - --indexes=/indexes
        - --host=0.0.0.0
        - --port={{ $values.server.port }}
        - --settings=/etc/open-autoglm/serve.toml
        {{- range $name, $bundle := .models }}
        - --model={{ $name }}={{ $bundle }}
        {{- end }}
      env: {{- include "open-autoglm.variables" . | nindent 8 }}
      ports:
        - {name: http, containerPort: {{ $values.server.port }}}
      startupProbe:
        httpGet: {path: {{ $values.probes.livePath }}, port: http}
        periodSeconds: 2
        failureThreshold: {{ div (add $values.probes.startupSeconds 1) 2 }}
      livenessProbe:
        httpGet: {path: {{ $values.probes.livePath }}, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      # It runs a small inference, so a pod whose model is dead gets no requests.
      readinessProbe:
        httpGet: {path: {{ $values.probes.readyPath }}, port: http}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      lifecycle:
        # Until every proxy has heard that this pod goes, requests still come.
        preStop: {sleep: {seconds: {{ $values.server.quietSeconds }}}}
      resources: {{- toYaml $values.resources | nindent 8 }}
      securityContext: {{- include "open-autoglm.confined" $root | nindent 8 }}
      volumeMounts:
        - {name: scratch, mountPath: /tmp}
        - {name: indexes, mountPath: /indexes{{ if eq $values.indexes.mode "shared" }}, readOnly: true{{ end }}}
        - {name: settings, mountPath: /etc/open-autoglm/serve.toml, subPath: serve.toml, readOnly: true}
        {{- if $values.bundles.claim }}
        - {name: bundles, mountPath: /bundles, readOnly: true}
        {{- end }}
        {{- if $values.access.keysSecret.name }}
        - {name: keys, mountPath: /etc/open-autoglm/keys, readOnly: true}
        {{- end }}
        {{- if $values.access.tokens.jwksSecret.name }}
        - {name: jwks, mountPath: /etc/open-autoglm/jwks, readOnly: true}
        {{- end }}
        {{- if $values.access.policyConfigMap.name }}
        - {name: policy, mountPath: /etc/open-autoglm/policy, readOnly: true}
        {{- end }}
  volumes:
    - name: scratch
      emptyDir: {sizeLimit: 1Gi}
    - name: settings
      configMap: {name: {{ include "open-autoglm.name" $root }}}
    - name: indexes
      {{- if eq $values.indexes.mode "none" }}
      emptyDir: {sizeLimit: 1Gi}
      {{- else }}
      persistentVolumeClaim:
        claimName: {{ $values.indexes.claim | default (printf "%s-indexes" (include "open-autoglm.name" $root)) }}
        {{- if eq $values.indexes.mode "shared" }}
        readOnly: true
        {{- end }}
      {{- end }}
    {{- with $values.bundles.claim }}
    - name: bundles
      persistentVolumeClaim: {claimName: {{ . }}, readOnly: true}
    {{- end }}
    {{- with $values.access.keysSecret.name }}
    - name: keys
      secret: {secretName: {{ . }}, defaultMode: 0440}
    {{- end }}
    {{- with $values.access.tokens.jwksSecret.name }}
    - name: jwks
      secret: {secretName: {{ . }}, defaultMode: 0440}
    {{- end }}
    {{- with $values.access.policyConfigMap.name }}
    - name: policy
      configMap: {name: {{ . }}}
    {{- end }}
    {{- if $values.opa.sidecar.enabled }}
    {{- if not $values.access.policyConfigMap.name }}
    - name: policy
      emptyDir: {sizeLimit: 16Mi}
    {{- end }}
    {{- end }}
{{- end }}
