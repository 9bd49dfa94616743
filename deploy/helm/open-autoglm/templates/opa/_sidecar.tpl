{{/* An OPA in the pod of the server, and what brings it the policy that the server's image carries. */}}

{{/* Takes {root, image}. */}}
{{- define "open-autoglm.opa.policy" -}}
- name: policy
  image: {{ .image }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [cp, -r, /opt/open-autoglm/policy/., /policy]
  resources:
    requests: {cpu: 10m, memory: 16Mi}
    limits: {memory: 64Mi}
  securityContext: {{- include "open-autoglm.confined" .root | nindent 4 }}
  volumeMounts:
    - {name: policy, mountPath: /policy}
{{- end }}

{{/* Takes {root, image}. */}}
{{- define "open-autoglm.opa.sidecar" -}}
{{- $own := .root.Values.access.policyConfigMap -}}
initContainers:
  {{- if not $own.name }}
  {{- include "open-autoglm.opa.policy" . | nindent 2 }}
  {{- end }}
  - name: opa
    # It starts before the server and stops after it.
    restartPolicy: Always
    image: {{ include "open-autoglm.image" (dict "image" .root.Values.opa.image) }}
    args: [run, --server, --addr=127.0.0.1:8181, --diagnostic-addr=0.0.0.0:8282, --disable-telemetry, --log-level=error, /policy/{{ if $own.name }}{{ $own.key }}{{ else }}policy.rego{{ end }}]
    startupProbe:
      httpGet: {path: /health, port: 8282}
      periodSeconds: 1
      failureThreshold: 30
    resources: {{- toYaml .root.Values.opa.resources | nindent 6 }}
    securityContext: {{- include "open-autoglm.confined" .root | nindent 6 }}
    volumeMounts:
      - {name: policy, mountPath: /policy, readOnly: true}
{{- end }}
