{{/* Egress that every service needs: DNS, and the trace collector where there is one. */}}
{{- define "claviger.commonEgress" -}}
- ports:
    - { port: 53, protocol: UDP }
    - { port: 53, protocol: TCP }
  {{- with .root.Values.networkPolicy.dns.to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
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
