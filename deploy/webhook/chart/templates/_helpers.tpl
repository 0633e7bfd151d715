{{- /* One injector in a cluster: its name is fixed, as the ConfigMap's is that the guide's sed changes. */ -}}
{{- define "probelet.name" -}}
probelet-sidecar-injector
{{- end }}

{{- define "probelet.selector" -}}
app.kubernetes.io/name: probelet-inject
{{- end }}

{{- define "probelet.labels" -}}
{{ include "probelet.selector" . }}
app.kubernetes.io/part-of: probelet
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* The global setting: istioctl's spelling over the plain one. */ -}}
{{- define "probelet.rewrite" -}}
{{- $plain := .Values.sidecarInjectorWebhook.rewriteAppHTTPProbe -}}
{{- dig "sidecarInjectorWebhook" "rewriteAppHTTPProbe" $plain (.Values.values | default dict) -}}
{{- end }}

{{- /* The sidecar's image. */ -}}
{{- define "probelet.image" -}}
{{- .Values.probelet.image | default (printf "localhost/probelet:%s" .Chart.AppVersion) -}}
{{- end }}

{{- /* What pods get, as JSON inside single quotes of YAML. */ -}}
{{- define "probelet.ours" -}}
{{- set (deepCopy .Values.probelet) "image" (include "probelet.image" .) | toJson | replace "'" "''" -}}
{{- end }}
