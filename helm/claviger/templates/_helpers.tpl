{{/* The prefix of all names. 44 characters leave room for "-keyvault-headless" within a label's 63. */}}
{{- define "claviger.name" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 44 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of a component's objects. Takes (dict "root" $ "component" "routing"). */}}
{{- define "claviger.componentName" -}}
{{- printf "%s-%s" (include "claviger.name" .root) .component -}}
{{- end -}}

{{/* What selects the pods of the release; never changes, because selectors are immutable. */}}
{{- define "claviger.releaseLabels" -}}
app.kubernetes.io/name: claviger
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* What selects the pods of a component. */}}
{{- define "claviger.selectorLabels" -}}
{{ include "claviger.releaseLabels" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* The labels of a component's objects. */}}
{{- define "claviger.labels" -}}
{{ include "claviger.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: claviger
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* Each service's ports, as JSON: one place, so that pods, Services, probes and policies agree. */}}
{{- define "claviger.ports" -}}
{{- dict
  "keyvault" (dict "grpc" 50051 "health" 50061 "metrics" 9464)
  "routing" (dict "grpc" 50052 "health" 50062 "metrics" 9465)
  | toJson -}}
{{- end -}}

{{- define "claviger.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "claviger.serviceAccountName" -}}
{{- $account := (index .root.Values .component).serviceAccount -}}
{{- if $account.create -}}
{{ default (include "claviger.componentName" .) $account.name }}
{{- else -}}
{{ default "default" $account.name }}
{{- end -}}
{{- end -}}

{{/* The port of the trace collector: the endpoint's own, or HTTP's. */}}
{{- define "claviger.otlpPort" -}}
{{- $url := urlParse .Values.otlp.endpoint -}}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) -}}
{{- default "80" $port -}}
{{- end -}}
