{{/* Names, labels and images. */}}

{{- define "open-autoglm.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 48 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 48 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* Takes {root, part}: what a part's Service and workload select their pods by. */}}
{{- define "open-autoglm.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{/* Takes {root, part}. */}}
{{- define "open-autoglm.labels" -}}
{{ include "open-autoglm.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Takes {image, tag}: an image, whose own tag or digest wins over the tag. */}}
{{- define "open-autoglm.image" -}}
{{- if .image.digest }}{{ .image.repository }}@{{ .image.digest }}{{ else }}{{ .image.repository }}:{{ .image.tag | default .tag }}{{ end }}
{{- end }}

{{- define "open-autoglm.account" -}}
{{ .Values.serviceAccount.name | default (include "open-autoglm.name" .) }}
{{- end }}

{{- define "open-autoglm.host" -}}
{{ include "open-autoglm.name" . }}.{{ .Release.Namespace }}.svc.cluster.local
{{- end }}

{{/* What the container of every part may do: nothing but run. */}}
{{- define "open-autoglm.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Takes a user id. */}}
{{- define "open-autoglm.user" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}
