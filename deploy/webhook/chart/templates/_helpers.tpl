{{- /* The name is fixed: a cluster has one injector, and the guide's sed command names its ConfigMap. */ -}}
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

{{- /* Whether probes are rewritten. istioctl's path overrides the plain one. */ -}}
{{- define "probelet.rewrite" -}}
{{- $plain := .Values.sidecarInjectorWebhook.rewriteAppHTTPProbe -}}
{{- dig "sidecarInjectorWebhook" "rewriteAppHTTPProbe" $plain (.Values.values | default dict) -}}
{{- end }}

{{- /* The sidecar's image. */ -}}
{{- define "probelet.image" -}}
{{- .Values.probelet.image | default (printf "localhost/probelet:%s" .Chart.AppVersion) -}}
{{- end }}

{{- /* The defaults of the sidecar as JSON, escaped for single quotes in YAML. */ -}}
{{- define "probelet.sidecarValues" -}}
{{- set (deepCopy .Values.probelet) "image" (include "probelet.image" .) | toJson | replace "'" "''" -}}
{{- end }}

{{- /* What both containers of the test pod have in common. */ -}}
{{- define "probelet.testContainer" -}}
{{- with .Values.securityContext -}}
securityContext:
  {{- toYaml . | nindent 2 }}
{{ end -}}
resources:
  requests:
    cpu: 1m
    memory: 2Mi
  limits:
    memory: 16Mi
{{- end }}

{{- /* The Secret of the serving certificate. */ -}}
{{- define "probelet.certificateSecret" -}}
{{- if eq .Values.certificates "existing" }}{{ .Values.existingCertificate.secret }}{{ else }}{{ include "probelet.name" . }}-tls{{ end }}
{{- end }}

{{- /* The chart's labels and those of a value: (list . LABELS). */ -}}
{{- define "probelet.monitorLabels" -}}
{{- with index . 1 -}}
{{- toYaml . }}
{{ end -}}
{{- include "probelet.labels" (index . 0) -}}
{{- end }}
