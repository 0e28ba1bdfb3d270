{{- define "claviger.dnsEgress" -}}
- ports:
    - { port: 53, protocol: UDP }
    - { port: 53, protocol: TCP }
  {{- with .Values.networkPolicy.dns.to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* Egress that every service needs: DNS, and the trace collector where there is one. */}}
{{- define "claviger.commonEgress" -}}
{{ include "claviger.dnsEgress" .root }}
{{- if .root.Values.otlp.endpoint }}
- ports:
    - { port: {{ include "claviger.otlpPort" .root }}, protocol: TCP }
  {{- with .root.Values.networkPolicy.otlp.to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- with (index .root.Values.networkPolicy .component).extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Egress to the database server, where there is one. */}}
{{- define "claviger.databaseEgress" -}}
{{- if .Values.keyvault.database.existingSecret }}
- ports:
    - { port: {{ .Values.networkPolicy.keyvault.database.port }}, protocol: TCP }
  {{- with .Values.networkPolicy.keyvault.database.to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Who may read metrics. A rule without peers would admit everyone, so an empty list makes no rule. The kubelet of a
pod's own node reaches its health port in any case: policies do not hold it back. */}}
{{- define "claviger.commonIngress" -}}
{{- $ports := index (include "claviger.ports" .root | fromJson) .component -}}
{{- with .root.Values.networkPolicy.metrics.from }}
- ports:
    - { port: {{ $ports.metrics }}, protocol: TCP }
  from: {{- toYaml . | nindent 4 }}
{{- end }}
{{- end -}}
