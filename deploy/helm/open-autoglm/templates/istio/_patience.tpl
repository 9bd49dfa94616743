{{/* How long a request may take, and what is tried again: only what no server has begun. Takes .Values.istio. */}}
{{- define "open-autoglm.istio.patience" -}}
timeout: {{ .timeoutSeconds }}s
retries: {attempts: {{ .retries }}, perTryTimeout: {{ .timeoutSeconds }}s, retryOn: "connect-failure,refused-stream,reset-before-request"}
{{- end }}
