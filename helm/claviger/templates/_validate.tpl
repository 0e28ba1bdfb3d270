{{/* Lists everything that is missing or contradictory, and fails once with all of it. */}}
{{- define "claviger.validate" -}}
{{- $problems := concat (include "claviger.missing" . | fromJsonArray) (include "claviger.conflicts" . | fromJsonArray) -}}
{{- if $problems -}}
{{- fail (printf "\n\n%s\n" (join "\n" $problems)) -}}
{{- end -}}
{{- end -}}

{{- define "claviger.missing" -}}
{{- $out := list -}}
{{- $ns := .Release.Namespace -}}
{{- $tls := "set %s to the name of a Secret with tls.crt, tls.key and ca.crt; make one with: kubectl -n %s create secret generic %s --from-file=tls.crt --from-file=tls.key --from-file=ca.crt" -}}
{{- if not .Values.trustDomain -}}
{{- $out = append $out "set trustDomain to the SPIFFE trust domain of your certificates, such as example.org" -}}
{{- end -}}
{{- if not .Values.keyvault.routingIdentity -}}
{{- $out = append $out (printf "set keyvault.routingIdentity to the SPIFFE URI in routing's certificate, such as spiffe://%s/claviger/routing" (default "example.org" .Values.trustDomain)) -}}
{{- end -}}
{{- if not .Values.keyvault.masterKey.existingSecret -}}
{{- $out = append $out (printf "set keyvault.masterKey.existingSecret to the name of a Secret that holds the master key under %s; make one with: claviger-keyvault keyring generate --out %s; keep a copy of it, since without it all stored secrets are lost; then: kubectl -n %s create secret generic claviger-master-key --from-file=%s" .Values.keyvault.masterKey.key .Values.keyvault.masterKey.key $ns .Values.keyvault.masterKey.key) -}}
{{- end -}}
{{- if not .Values.keyvault.tls.existingSecret -}}
{{- $out = append $out (printf $tls "keyvault.tls.existingSecret" $ns "claviger-keyvault-tls") -}}
{{- end -}}
{{- if not .Values.routing.tls.existingSecret -}}
{{- $out = append $out (printf $tls "routing.tls.existingSecret" $ns "claviger-routing-tls") -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- define "claviger.conflicts" -}}
{{- $out := list -}}
{{- $prefix := printf "spiffe://%s/" .Values.trustDomain -}}
{{- if and .Values.trustDomain .Values.keyvault.routingIdentity (not (hasPrefix $prefix .Values.keyvault.routingIdentity)) -}}
{{- $out = append $out (printf "keyvault.routingIdentity must begin with %s, as trustDomain says" $prefix) -}}
{{- end -}}
{{- with .Values.keyvault.database -}}
{{- if and (gt (int $.Values.keyvault.replicas) 1) (not .existingSecret) -}}
{{- $out = append $out "keyvault.replicas above 1 needs keyvault.database.existingSecret: the embedded database has one writer" -}}
{{- end -}}
{{- if and .migrate.existingSecret (not .existingSecret) -}}
{{- $out = append $out "keyvault.database.migrate needs keyvault.database.existingSecret: the embedded database migrates itself" -}}
{{- end -}}
{{- if and .migrate.existingSecret (not .migrate.serviceRole) -}}
{{- $out = append $out "keyvault.database.migrate.serviceRole must name the role in the service's URL" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled -}}
{{- $out = append $out "enable metrics.serviceMonitor or metrics.podMonitor, not both: each pod would be scraped twice" -}}
{{- end -}}
{{- range $component := list "keyvault" "routing" -}}
{{- range (index $.Values $component).extraEnv -}}
{{- if or (has .name (include "claviger.ownEnv" . | fromJsonArray)) (has .name (list "CLAVIGER_MASTER_KEY" "CLAVIGER_DEV")) -}}
{{- $out = append $out (printf "%s.extraEnv may not set %s: the chart has its own value for it, or keeps it out" $component .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{/* The variables that the chart sets itself: of two with one name, the kubelet silently takes the last. */}}
{{- define "claviger.ownEnv" -}}
{{- list
  "CLAVIGER_KEYVAULT_LISTEN" "CLAVIGER_KEYVAULT_HEALTH_LISTEN" "CLAVIGER_KEYVAULT_METRICS_LISTEN"
  "CLAVIGER_ROUTING_LISTEN" "CLAVIGER_ROUTING_HEALTH_LISTEN" "CLAVIGER_ROUTING_METRICS_LISTEN"
  "CLAVIGER_DATA_DIR" "CLAVIGER_MASTER_KEY_FILE" "CLAVIGER_TLS_CERT" "CLAVIGER_TLS_KEY" "CLAVIGER_TLS_CLIENT_CA"
  "CLAVIGER_TRUST_DOMAIN" "CLAVIGER_ROUTING_ID" "CLAVIGER_KEYVAULT_URL" "CLAVIGER_KEYVAULT_SERVER_NAME"
  "CLAVIGER_DATABASE_URL" "CLAVIGER_BYOK_PLANS" "CLAVIGER_EGRESS_PROXY" "CLAVIGER_EGRESS_CA_FILE"
  "CLAVIGER_CATALOG_FILE" "CLAVIGER_EGRESS_ALLOW" "CLAVIGER_LOG" "CLAVIGER_SHUTDOWN_GRACE" "OTEL_EXPORTER_OTLP_ENDPOINT"
  | toJson -}}
{{- end -}}
