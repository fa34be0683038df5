{{- define "rotated-secrets.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimAll "-." }}
{{- end }}

{{- /* At most 52 characters, because the longest suffix below has 11. */}}
{{- define "rotated-secrets.fullname" -}}
{{- $name := include "rotated-secrets.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimAll "-." }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimAll "-." }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimAll "-." }}
{{- end }}
{{- end }}

{{- /* The name of a Service has no dots, and begins with a letter. */}}
{{- define "rotated-secrets.serviceName" -}}
{{- $name := printf "%s-metrics" (include "rotated-secrets.fullname" . | replace "." "-") }}
{{- if regexMatch "^[0-9]" $name }}{{ $name = printf "m-%s" $name }}{{ end }}
{{- $name }}
{{- end }}

{{- define "rotated-secrets.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "rotated-secrets.serviceAccountName" -}}
{{- default (include "rotated-secrets.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{- define "rotated-secrets.selectorLabels" -}}
app.kubernetes.io/name: {{ include "rotated-secrets.name" . | toYaml }}
app.kubernetes.io/instance: {{ toYaml .Release.Name }}
{{- end }}

{{- /* Does not use app.kubernetes.io/managed-by=rotated-secrets, which marks mirrored Secrets. */}}
{{- define "rotated-secrets.labels" -}}
{{ include "rotated-secrets.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The chart's labels, and those of one object (own), which take precedence. */}}
{{- define "rotated-secrets.labelsWith" -}}
{{- if .own }}
{{- merge (deepCopy .own) (include "rotated-secrets.labels" .root | fromYaml) | toYaml }}
{{- else }}
{{- include "rotated-secrets.labels" .root }}
{{- end }}
{{- end }}

{{- /* In metadata: the annotations of one object (own), which take precedence, and those of all objects. */}}
{{- define "rotated-secrets.annotations" }}
{{- with merge (dict) (default dict .own) (default dict .root.Values.commonAnnotations) }}
  annotations:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- end }}

{{- /* Whether image.repository begins with a registry, as container runtimes decide it: "true" or "". */}}
{{- define "rotated-secrets.repositoryHasRegistry" -}}
{{- if regexMatch "^([^/]*[.:A-Z][^/]*|localhost)/" .Values.image.repository }}true{{ end }}
{{- end }}

{{- /* The image of a released chart and the address of its runbook are in its annotations, not in its values: `--reuse-values`
keeps those of the release before, and a parent chart may set the global registry to "". */}}
{{- define "rotated-secrets.released" -}}
{{- index (default dict .root.Chart.Annotations) (printf "rotated-secrets.io/%s" .key) | default "" }}
{{- end }}

{{- define "rotated-secrets.image" -}}
{{- $registry := .Values.image.registry }}
{{- $repository := .Values.image.repository }}
{{- if not (or $registry (include "rotated-secrets.repositoryHasRegistry" .)) }}
{{- $registry = .Values.global.imageRegistry }}
{{- end }}
{{- /* The default value. The registry of the release belongs to its repository only. */}}
{{- if eq $repository "rotated-secrets" }}
{{- $repository = default $repository (include "rotated-secrets.released" (dict "root" . "key" "image-repository")) }}
{{- $registry = default (include "rotated-secrets.released" (dict "root" . "key" "image-registry")) $registry }}
{{- end }}
{{- with $registry }}{{ $repository = printf "%s/%s" . $repository }}{{ end }}
{{- $digest := .Values.image.digest }}
{{- if not (or $digest .Values.image.tag) }}
{{- $digest = include "rotated-secrets.released" (dict "root" . "key" "image-digest") }}
{{- end }}
{{- if $digest }}
{{- printf "%s@%s" $repository $digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- /* Entries of global.imagePullSecrets may be names, as in other charts. */}}
{{- define "rotated-secrets.imagePullSecrets" -}}
{{- $all := list }}
{{- range concat (default list .Values.imagePullSecrets) (default list .Values.global.imagePullSecrets) }}
{{- $all = append $all (ternary (dict "name" .) . (kindIs "string" .)) }}
{{- end }}
{{- with uniq $all }}{{ toYaml . }}{{ end }}
{{- end }}

{{- /* "true" or "". */}}
{{- define "rotated-secrets.leaderElection" -}}
{{- if kindIs "bool" .Values.leaderElection.enabled }}
{{- ternary "true" "" .Values.leaderElection.enabled }}
{{- else }}
{{- ternary "true" "" (gt (int .Values.replicas) 1) }}
{{- end }}
{{- end }}

{{- /* "true" or "". The default is whether the chart creates a ClusterRole for the operator. */}}
{{- define "rotated-secrets.admissionPolicy" -}}
{{- if kindIs "bool" .Values.admissionPolicy.enabled }}
{{- ternary "true" "" .Values.admissionPolicy.enabled }}
{{- else if and .Values.rbac.create (or (not .Values.namespaces) .Values.rbac.clusterWideFinalizers) }}
{{- "true" }}
{{- end }}
{{- end }}

{{- /* Flags: each key of `operator`, converted from camelCase to --kebab-case. */}}
{{- define "rotated-secrets.flags" -}}
{{- range $key, $value := .Values.operator }}
{{- $flag := printf "--%s" (kebabcase $key) }}
{{- if kindIs "slice" $value }}
{{- with $value }}
- {{ printf "%s=%s" $flag (join "," .) | quote }}
{{- end }}
{{- else if kindIs "map" $value }}
{{- $pairs := list }}
{{- range $name, $text := $value }}
{{- $pairs = append $pairs (printf "%s=%s" $name $text) }}
{{- end }}
{{- with $pairs }}
- {{ printf "%s=%s" $flag (join "," .) | quote }}
{{- end }}
{{- else if kindIs "bool" $value }}
{{- if $value }}
- {{ $flag }}
{{- end }}
{{- else if and (not (kindIs "invalid" $value)) (ne (toString $value) "") }}
- {{ printf "%s=%v" $flag $value | quote }}
{{- end }}
{{- end }}
{{- end }}
