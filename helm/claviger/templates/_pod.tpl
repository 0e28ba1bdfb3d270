{{/* Pod-level settings that both services share. Takes (dict "root" $ "component" "routing"). */}}
{{- define "claviger.podSettings" -}}
{{- $values := index .root.Values .component -}}
serviceAccountName: {{ include "claviger.serviceAccountName" . }}
automountServiceAccountToken: false
# Service links would add CLAVIGER_* variables made from the names of Services.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ include "claviger.terminationSeconds" .root }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- include "claviger.podSecurity" . | nindent 2 }}
{{- end -}}

{{/* Where pods go: as the values say, or else over zones and nodes as far as possible. matchLabelKeys is for a Deployment, whose
old pods are beside the new ones during a rollout. Takes root, component and perhaps matchLabelKeys. */}}
{{- define "claviger.spread" -}}
{{- with (index .root.Values .component).topologySpreadConstraints -}}
{{ toYaml . }}
{{- else -}}
{{- $ctx := . -}}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  {{- with $ctx.matchLabelKeys }}
  matchLabelKeys: {{- toYaml . | nindent 4 }}
  {{- end }}
  labelSelector:
    matchLabels: {{- include "claviger.selectorLabels" $ctx | nindent 6 }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Bounds what drains may take away at once. Takes root and component. */}}
{{- define "claviger.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "claviger.componentName" . }}
  labels: {{- include "claviger.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ (index .root.Values .component).podDisruptionBudget.maxUnavailable }}
  # A pod that is not ready anyway must not keep a node from draining.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "claviger.selectorLabels" . | nindent 6 }}
{{- end -}}

{{/* preStop, then grace, then ten seconds to close files: the kubelet's SIGKILL comes last. */}}
{{- define "claviger.terminationSeconds" -}}
{{- add .Values.shutdown.preStopSeconds .Values.shutdown.graceSeconds 10 -}}
{{- end -}}

{{/* fsGroup makes the mounted secrets (mode 0440) readable to the service and to nobody else. */}}
{{- define "claviger.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "claviger.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Pod labels: the user's cannot replace those that selectors use. No version, so that a new chart alone restarts nothing. */}}
{{- define "claviger.podLabels" -}}
{{- $own := include "claviger.selectorLabels" . | fromYaml -}}
{{- toYaml (merge $own (index .root.Values .component).podLabels) -}}
{{- end -}}

{{/* Container settings that both services share. Takes root, component and service (gRPC name). */}}
{{- define "claviger.containerSettings" -}}
{{- $ports := index (include "claviger.ports" .root | fromJson) .component -}}
{{- $values := index .root.Values .component -}}
image: {{ include "claviger.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext: {{- include "claviger.containerSecurity" . | nindent 2 }}
{{- if .root.Values.shutdown.preStopSeconds }}
lifecycle:
  preStop:
    sleep:
      seconds: {{ .root.Values.shutdown.preStopSeconds }}
{{- end }}
# "liveness" depends on the process alone; the service's own name also on its database or feed.
startupProbe:
  grpc: { port: {{ $ports.health }}, service: liveness }
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  grpc: { port: {{ $ports.health }}, service: liveness }
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
readinessProbe:
  grpc: { port: {{ $ports.health }}, service: {{ .service }} }
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
ports:
  - { name: tls-grpc, containerPort: {{ $ports.grpc }} }
  - { name: health, containerPort: {{ $ports.health }} }
  - { name: metrics, containerPort: {{ $ports.metrics }} }
{{- with $values.resources }}
resources: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Environment that both services share. */}}
{{- define "claviger.env" -}}
{{- $ports := index (include "claviger.ports" .root | fromJson) .component -}}
{{- $prefix := printf "CLAVIGER_%s" (upper .component) -}}
- { name: {{ $prefix }}_LISTEN, value: "0.0.0.0:{{ $ports.grpc }}" }
- { name: {{ $prefix }}_HEALTH_LISTEN, value: "0.0.0.0:{{ $ports.health }}" }
- { name: {{ $prefix }}_METRICS_LISTEN, value: "0.0.0.0:{{ $ports.metrics }}" }
- { name: CLAVIGER_TLS_CERT, value: /etc/claviger/tls/tls.crt }
- { name: CLAVIGER_TLS_KEY, value: /etc/claviger/tls/tls.key }
- { name: CLAVIGER_TLS_CLIENT_CA, value: /etc/claviger/tls/ca.crt }
- { name: CLAVIGER_TRUST_DOMAIN, value: {{ .root.Values.trustDomain | quote }} }
- { name: CLAVIGER_LOG, value: {{ .root.Values.log | quote }} }
- { name: CLAVIGER_SHUTDOWN_GRACE, value: {{ .root.Values.shutdown.graceSeconds | quote }} }
{{- if .root.Values.catalog.existingConfigMap }}
- { name: CLAVIGER_CATALOG_FILE, value: /etc/claviger/catalog/catalog.toml }
{{- end }}
{{- with .root.Values.otlp.endpoint }}
- { name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }} }
{{- end }}
{{- with (index .root.Values .component).extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Mounts that both services share. Whole directories: files mounted by subPath never change. */}}
{{- define "claviger.mounts" -}}
- { name: tls, mountPath: /etc/claviger/tls, readOnly: true }
{{- if .root.Values.catalog.existingConfigMap }}
- { name: catalog, mountPath: /etc/claviger/catalog, readOnly: true }
{{- end }}
{{- with (index .root.Values .component).extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "claviger.volumes" -}}
{{- $values := index .root.Values .component -}}
- name: tls
  secret:
    secretName: {{ $values.tls.existingSecret }}
    defaultMode: 0440
    items:
      - { key: tls.crt, path: tls.crt }
      - { key: tls.key, path: tls.key }
      - { key: ca.crt, path: ca.crt }
{{- with .root.Values.catalog }}
{{- if .existingConfigMap }}
- name: catalog
  configMap:
    name: {{ .existingConfigMap }}
    items:
      - { key: {{ .key | quote }}, path: catalog.toml }
{{- end }}
{{- end }}
{{- with $values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
