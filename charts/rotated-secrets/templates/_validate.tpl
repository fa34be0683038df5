{{- /* Checks for which the JSON schema gives no clear error message. */}}
{{- define "rotated-secrets.validate" -}}
{{- range $block, $keys := dict "operator" (list "minimumRotationInterval" "minimumRequestInterval" "refreshInterval") "leaderElection" (list "leaseDuration" "renewDeadline" "retryPeriod") }}
{{- range $key := $keys }}
{{- $value := get (get $.Values $block) $key }}
{{- if and $value (not (regexMatch "^([0-9]+(\\.[0-9]+)?(h|m|s|ms))+$" $value)) }}
{{- fail (printf "%s.%s is %q: use a duration such as 90m or 36h" $block $key $value) }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.operator.awsEndpointUrl }}
{{- if not (regexMatch "^(https://.+|http://(localhost|127\\.0\\.0\\.1|\\[::1\\])(:[0-9]+)?(/.*)?)$" .) }}
{{- fail (printf "operator.awsEndpointUrl is %q: it must be https, or http on loopback, because secret values are sent there" .) }}
{{- end }}
{{- end }}
{{- range $key, $names := dict "namespaces" .Values.namespaces "serviceAccountIdentity.namespaces" .Values.serviceAccountIdentity.namespaces "rotationJobs.namespaces" .Values.rotationJobs.namespaces }}
{{- range $names }}
{{- if not (and (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" .) (le (len .) 63)) }}
{{- fail (printf "%s: %q is not a valid name of a namespace: list the names, without patterns" $key .) }}
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.namespaces }}
{{- range .Values.serviceAccountIdentity.namespaces }}
{{- if not (has . $.Values.namespaces) }}
{{- fail (printf "serviceAccountIdentity.namespaces: %q is not in namespaces, so the operator does not manage it" .) }}
{{- end }}
{{- end }}
{{- range .Values.rotationJobs.namespaces }}
{{- if not (has . $.Values.namespaces) }}
{{- fail (printf "rotationJobs.namespaces: %q is not in namespaces, so the operator does not manage it" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.image.digest }}
{{- if not (regexMatch "^sha256:[0-9a-f]{64}$" .) }}
{{- fail (printf "image.digest is %q: use sha256: and 64 hexadecimal digits" .) }}
{{- end }}
{{- end }}
{{- if regexMatch "(:[^/]*|@.*)$" .Values.image.repository }}
{{- fail (printf "image.repository is %q: put the tag into image.tag or the digest into image.digest" .Values.image.repository) }}
{{- end }}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- fail "serviceAccount.create is false: set serviceAccount.name to an existing ServiceAccount, not the default one, which other pods use too" }}
{{- end }}
{{- if eq (int .Values.ports.metrics) (int .Values.ports.health) }}
{{- fail "ports.metrics and ports.health must differ, so that clients of the metrics cannot use up the connections of the probes" }}
{{- end }}
{{- if and .Values.metrics.monitor.enabled .Values.networkPolicy.enabled (not .Values.networkPolicy.metricsFrom) }}
{{- fail "metrics.monitor.enabled is true, but the NetworkPolicy lets nobody scrape: set networkPolicy.metricsFrom to your Prometheus, such as [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}], or networkPolicy.enabled to false" }}
{{- end }}
{{- range $name, $file := dict "prometheusRule" "files/alerts.yaml" "dashboard" "files/dashboard.json" }}
{{- if and (get $.Values.metrics $name).enabled (not ($.Files.Get $file)) }}
{{- fail (printf "metrics.%s.enabled is true, but this chart has no %s" $name $file) }}
{{- end }}
{{- end }}
{{- end }}
