{{- /* Checks for which the JSON schema gives no clear error message. */}}
{{- define "rotated-secrets.validate" -}}
{{- include "rotated-secrets.validateOperator" . }}
{{- include "rotated-secrets.validateNames" . }}
{{- include "rotated-secrets.validateImage" . }}
{{- include "rotated-secrets.validatePods" . }}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- fail "serviceAccount.create is false: set serviceAccount.name to an existing ServiceAccount, not the default one, which other pods use too" }}
{{- end }}
{{- if eq (int .Values.ports.metrics) (int .Values.ports.health) }}
{{- fail "ports.metrics and ports.health must differ, so that clients of the metrics cannot use up the connections of the probes" }}
{{- end }}
{{- range $key := list "interval" "scrapeTimeout" }}
{{- $value := get $.Values.metrics.monitor $key }}
{{- if and $value (not (regexMatch "^(0|([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$" $value)) }}
{{- fail (printf "metrics.monitor.%s is %q: use a duration of Prometheus such as 30s or 1m30s" $key $value) }}
{{- end }}
{{- end }}
{{- with .Values.metrics.monitor }}
{{- if and .interval .scrapeTimeout (gt (int64 (include "rotated-secrets.milliseconds" .scrapeTimeout)) (int64 (include "rotated-secrets.milliseconds" .interval))) }}
{{- fail (printf "metrics.monitor.scrapeTimeout is %q: it must not be longer than metrics.monitor.interval, %q" .scrapeTimeout .interval) }}
{{- end }}
{{- end }}
{{- if and .Values.metrics.monitor.enabled .Values.networkPolicy.enabled (not .Values.networkPolicy.metricsFrom) }}
{{- fail "metrics.monitor.enabled is true, but the NetworkPolicy lets nobody scrape: set networkPolicy.metricsFrom to your Prometheus, such as [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}], or networkPolicy.enabled to false" }}
{{- end }}
{{- if and .Values.metrics.prometheusRule.enabled (not .Values.metrics.monitor.enabled) (not .Values.metrics.prometheusRule.selector) }}
{{- fail "metrics.prometheusRule.enabled is true, but metrics.monitor.enabled is not: if you scrape otherwise, set metrics.prometheusRule.selector to the labels that your Prometheus gives, such as job=\"rotated-secrets\"; else the alert RotatedSecretsOperatorDown would always fire" }}
{{- end }}
{{- range $name, $file := dict "prometheusRule" "files/alerts.yaml" "dashboard" "files/dashboard.json" }}
{{- if and (get $.Values.metrics $name).enabled (not ($.Files.Get $file)) }}
{{- fail (printf "metrics.%s.enabled is true, but this chart has no %s" $name $file) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* A duration in milliseconds. */}}
{{- define "rotated-secrets.milliseconds" -}}
{{- $units := dict "y" 31536000000 "w" 604800000 "d" 86400000 "h" 3600000 "m" 60000 "s" 1000 "ms" 1 }}
{{- $sum := 0.0 }}
{{- range regexFindAll "[0-9]+(\\.[0-9]+)?(y|w|d|h|ms|m|s)" . -1 }}
{{- $number := regexFind "^[0-9.]+" . }}
{{- $sum = addf $sum (mulf $number (get $units (trimPrefix $number .))) }}
{{- end }}
{{- int64 $sum }}
{{- end }}

{{- /* What would stop the operator at its start. */}}
{{- define "rotated-secrets.validateOperator" -}}
{{- /* As the operator reads it: the largest unit first, each once, a fraction only of the last one. */}}
{{- $duration := "^(([0-9]+h)?([0-9]+m)?([0-9]+s)?[0-9]+(\\.[0-9]+)?ms|([0-9]+h)?([0-9]+m)?[0-9]+(\\.[0-9]+)?s|([0-9]+h)?[0-9]+(\\.[0-9]+)?m|[0-9]+(\\.[0-9]+)?h)$" }}
{{- range $block, $keys := dict "operator" (list "minimumRotationInterval" "minimumRequestInterval" "refreshInterval" "sweepInterval" "deletionTimeout") "leaderElection" (list "leaseDuration" "renewDeadline" "retryPeriod") }}
{{- range $key := $keys }}
{{- $value := get (get $.Values $block) $key }}
{{- if and $value (not (regexMatch $duration $value)) }}
{{- fail (printf "%s.%s is %q: use a duration such as 90m or 36h" $block $key $value) }}
{{- end }}
{{- $milliseconds := include "rotated-secrets.milliseconds" (toString $value) | int64 }}
{{- if and $value (lt $milliseconds 1000) (not (and (eq $key "minimumRequestInterval") (eq $milliseconds 0))) }}
{{- fail (printf "%s.%s is %q: it must be at least 1s" $block $key $value) }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.operator.minimumRotationInterval }}
{{- if and (lt (include "rotated-secrets.milliseconds" . | int64) 600000) (not $.Values.operator.development) }}
{{- fail (printf "operator.minimumRotationInterval is %q: it must be at least 10m, because AWS recommends at most one write per secret every 10m; with an emulator, set operator.development to true" .) }}
{{- end }}
{{- end }}
{{- if include "rotated-secrets.leaderElection" . }}
{{- $lease := default "15s" .Values.leaderElection.leaseDuration }}
{{- $deadline := default "10s" .Values.leaderElection.renewDeadline }}
{{- $retry := default "2s" .Values.leaderElection.retryPeriod }}
{{- if le (include "rotated-secrets.milliseconds" $lease | int64) (include "rotated-secrets.milliseconds" $deadline | int64) }}
{{- fail (printf "leaderElection.leaseDuration (%s) must be longer than leaderElection.renewDeadline (%s), so that a leader stops before the next one starts" $lease $deadline) }}
{{- end }}
{{- if lt (include "rotated-secrets.milliseconds" $deadline | int64) (mul 2 (include "rotated-secrets.milliseconds" $retry | int64)) }}
{{- fail (printf "leaderElection.renewDeadline (%s) must be at least twice leaderElection.retryPeriod (%s), so that a single failed renewal has no effect" $deadline $retry) }}
{{- end }}
{{- end }}
{{- with .Values.operator.namePrefix }}
{{- if or (not (regexMatch "^[A-Za-z0-9/_+=.@-]{1,128}$" .)) (hasPrefix "/" .) (hasSuffix "/" .) }}
{{- fail (printf "operator.namePrefix is %q: use 1 to 128 letters, digits and / _ + = . @ -, without a slash at either end" .) }}
{{- end }}
{{- end }}
{{- with .Values.operator.clusterId }}
{{- if not (regexMatch "^[A-Za-z0-9 _.:/=+@-]{1,128}$" .) }}
{{- fail (printf "operator.clusterId is %q: use 1 to 128 letters, digits, spaces and _ . : / = + @ -" .) }}
{{- end }}
{{- end }}
{{- range $key, $value := .Values.operator.defaultTags }}
{{- if not (and (regexMatch "^[\\pL\\pN +\\-._:/@]{1,128}$" $key) (regexMatch "^[\\pL\\pN +\\-=._:/@]{0,256}$" $value)) }}
{{- fail (printf "operator.defaultTags: %q=%q: use a key of 1 to 128 and a value of up to 256 letters, digits, spaces and + - = . _ : / @ (= in values only)" $key $value) }}
{{- end }}
{{- if regexMatch "^(aws:|rotated-secrets[.]io/)" (lower $key) }}
{{- fail (printf "operator.defaultTags: %q is reserved: keys may not start with aws: or rotated-secrets.io/" $key) }}
{{- end }}
{{- end }}
{{- with .Values.operator.objectSelector }}
{{- $key := "([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?" }}
{{- $value := "([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?" }}
{{- $requirement := printf "\\s*(!\\s*%s|%s(\\s*(=|==|!=)\\s*%s|\\s+(in|notin)\\s*\\(\\s*%s(\\s*,\\s*%s)*\\s*\\)|\\s*[<>]\\s*[0-9]+)?)\\s*" $key $key $value $value $value }}
{{- if not (regexMatch (printf "^%s(,%s)*$" $requirement $requirement) .) }}
{{- fail (printf "operator.objectSelector is %q: use a label selector such as shard=blue, shard!=blue or shard in (blue, green)" .) }}
{{- end }}
{{- end }}
{{- with .Values.operator.log }}
{{- if not (contains "[" .) }}
{{- range $directive := splitList "," . }}
{{- if not (regexMatch "^([^=]*=)?(off|error|warn|info|debug|trace|[0-5])$" (lower (trim $directive))) }}
{{- fail (printf "operator.log: %q: a level is off, error, warn, info, debug or trace, as in info,rotated_secrets=debug" $directive) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- $set := list "--metrics-address" "--health-address" }}
{{- range include "rotated-secrets.flags" . | fromYamlArray }}
{{- $set = append $set (regexFind "^[^=]+" .) }}
{{- end }}
{{- if .Values.namespaces }}{{ $set = append $set "--namespaces" }}{{ end }}
{{- if .Values.serviceAccountIdentity.namespaces }}{{ $set = append $set "--allow-service-account-identity" }}{{ end }}
{{- if .Values.rotationJobs.namespaces }}{{ $set = append $set "--allow-rotation-jobs" }}{{ end }}
{{- if include "rotated-secrets.leaderElection" . }}
{{- $set = concat $set (list "--leader-elect" "--lease-name") }}
{{- range $key, $flag := dict "leaseDuration" "--lease-duration" "renewDeadline" "--lease-renew-deadline" "retryPeriod" "--lease-retry-period" }}
{{- if get $.Values.leaderElection $key }}{{ $set = append $set $flag }}{{ end }}
{{- end }}
{{- end }}
{{- $words := false }}
{{- range .Values.extraArgs }}
{{- if hasPrefix "--" . }}
{{- $flag := regexFind "^[^=]+" . }}
{{- if has $flag $set }}
{{- fail (printf "extraArgs: the chart sets %s from another value: change that value instead" $flag) }}
{{- end }}
{{- $words = not (contains "=" .) }}
{{- else if not $words }}
{{- fail (printf "extraArgs: %q is not a flag: use the form --flag=value" .) }}
{{- else }}
{{- $words = false }}
{{- end }}
{{- end }}
{{- with .Values.operator.awsEndpointUrl }}
{{- if not (regexMatch "^(https://.+|http://(localhost|127\\.0\\.0\\.1|\\[::1\\])(:[0-9]+)?(/.*)?)$" .) }}
{{- fail (printf "operator.awsEndpointUrl is %q: it must be https, or http on loopback, because secret values are sent there" .) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "rotated-secrets.validateNames" -}}
{{- range $key := list "nameOverride" "fullnameOverride" }}
{{- $value := get $.Values $key }}
{{- $part := "[a-z0-9]([-a-z0-9]*[a-z0-9])?" }}
{{- if and $value (not (regexMatch (printf "^%s([.]%s)*$" $part $part) $value)) }}
{{- fail (printf "%s is %q: use lowercase letters, digits, - and ., with a letter or digit at both ends and beside each dot" $key $value) }}
{{- end }}
{{- end }}
{{- range $key, $value := dict "namespaceOverride" .Values.namespaceOverride "metrics.monitor.namespace" .Values.metrics.monitor.namespace "metrics.prometheusRule.namespace" .Values.metrics.prometheusRule.namespace "metrics.dashboard.namespace" .Values.metrics.dashboard.namespace }}
{{- if and $value (not (and (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" $value) (le (len $value) 63))) }}
{{- fail (printf "%s is %q: use the name of a namespace, such as monitoring" $key $value) }}
{{- end }}
{{- end }}
{{- $own := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" }}
{{- range $key, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels "serviceAccount.labels" .Values.serviceAccount.labels "metrics.service.labels" .Values.metrics.service.labels }}
{{- range $label, $_ := $labels }}
{{- if has $label $own }}
{{- fail (printf "%s: the chart sets the label %s: use nameOverride for app.kubernetes.io/name, or another label" $key $label) }}
{{- end }}
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
{{- end }}

{{- define "rotated-secrets.validateImage" -}}
{{- range $key, $registry := dict "image.registry" .Values.image.registry "global.imageRegistry" .Values.global.imageRegistry }}
{{- if and $registry (not (regexMatch "^[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*$" $registry)) }}
{{- fail (printf "%s is %q: use a host such as registry.example.com:5000, without https:// and without a slash at the end" $key $registry) }}
{{- end }}
{{- end }}
{{- if or (contains "://" .Values.image.repository) (regexMatch "^/|/$|\\s" .Values.image.repository) }}
{{- fail (printf "image.repository is %q: use a name such as registry.example.com/security/rotated-secrets, without https:// and without a slash at either end" .Values.image.repository) }}
{{- end }}
{{- with .Values.image.digest }}
{{- if not (regexMatch "^sha256:[0-9a-f]{64}$" .) }}
{{- fail (printf "image.digest is %q: use sha256: and 64 hexadecimal digits" .) }}
{{- end }}
{{- end }}
{{- if regexMatch "(:[^/]*|@.*)$" .Values.image.repository }}
{{- fail (printf "image.repository is %q: put the tag into image.tag or the digest into image.digest" .Values.image.repository) }}
{{- end }}
{{- if and .Values.image.registry (include "rotated-secrets.repositoryHasRegistry" .) }}
{{- fail (printf "image.registry and image.repository (%q) both name a registry: remove it from image.repository" .Values.image.repository) }}
{{- end }}
{{- with .Values.image.tag }}
{{- if not (regexMatch "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$" .) }}
{{- fail (printf "image.tag is %q: use up to 128 letters, digits and . _ -; a digest belongs into image.digest" .) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The API server refuses a second volume or mount path with the same name, and uses only the last of two variables. */}}
{{- define "rotated-secrets.validateExtras" -}}
{{- $own := dict "extraEnv" (list "POD_NAME" "POD_NAMESPACE" "ROTATED_SECRETS_LOG_FILTER_FILE") "extraVolumes" (list "operator-pod") "extraVolumeMounts" (list "/etc/rotated-secrets/pod") }}
{{- range $key, $known := $own }}
{{- $seen := list }}
{{- range index $.Values $key }}
{{- $name := get . (ternary "mountPath" "name" (eq $key "extraVolumeMounts")) }}
{{- if has $name $known }}
{{- fail (printf "%s: the chart sets %s: remove it" $key $name) }}
{{- end }}
{{- if has $name $seen }}
{{- fail (printf "%s: %s is there twice: remove one" $key $name) }}
{{- end }}
{{- $seen = append $seen $name }}
{{- end }}
{{- end }}
{{- end }}

{{- define "rotated-secrets.validatePods" -}}
{{- with .Values.podDisruptionBudget }}
{{- $replicas := int $.Values.replicas }}
{{- if not (or (kindIs "invalid" .minAvailable) (kindIs "invalid" .maxUnavailable)) }}
{{- fail "podDisruptionBudget has both minAvailable and maxUnavailable: set one of them to null" }}
{{- end }}
{{- range $key := list "minAvailable" "maxUnavailable" }}
{{- $value := index $.Values.podDisruptionBudget $key }}
{{- if and (kindIs "string" $value) (not (regexMatch "^(100|[1-9]?[0-9])%$" $value)) }}
{{- fail (printf "podDisruptionBudget.%s is %q: use a number, or a percentage such as 50%%" $key $value) }}
{{- end }}
{{- end }}
{{- if .enabled }}
{{- if kindIs "invalid" .minAvailable }}
{{- if and (gt $replicas 1) (has (toString .maxUnavailable) (list "0" "0%")) }}
{{- fail (printf "podDisruptionBudget.maxUnavailable is %v: no pod could be evicted, and no node drained; use at least 1" .maxUnavailable) }}
{{- end }}
{{- else if le $replicas 1 }}
{{- fail (printf "podDisruptionBudget.minAvailable is set, but replicas is %d: use at least 2 replicas, or set podDisruptionBudget.enabled to false" $replicas) }}
{{- else }}
{{- $least := int .minAvailable }}
{{- if kindIs "string" .minAvailable }}
{{- /* Kubernetes rounds up. */}}
{{- $least = div (add (mul $replicas (trimSuffix "%" .minAvailable | int)) 99) 100 }}
{{- end }}
{{- if ge (int $least) $replicas }}
{{- fail (printf "podDisruptionBudget.minAvailable is %v with %d replicas: no pod could be evicted, and no node drained; use at most %d" .minAvailable $replicas (sub $replicas 1)) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq (toString .Values.dnsPolicy) "None") (not (default dict .Values.dnsConfig).nameservers) }}
{{- fail "dnsPolicy is None: set dnsConfig.nameservers, otherwise the pods resolve no name" }}
{{- end }}
{{- include "rotated-secrets.validateExtras" . }}
{{- $names := list "operator" }}
{{- range $key := list "initContainers" "extraContainers" }}
{{- range index $.Values $key }}
{{- if has .name $names }}
{{- fail (printf "%s: another container of the pod has the name %q: use another name" $key .name) }}
{{- end }}
{{- $names = append $names .name }}
{{- end }}
{{- end }}
{{- end }}
