{{- /*
`helm upgrade --reuse-values` passes the values of the earlier chart: blocks and keys that are new in this chart are
missing. Every template first includes rotated-secrets.complete, which adds the defaults below to .Values. A test compares
them with values.yaml.

A missing list is added only with its block: a user removes a default list with null, which looks the same. For the same
reason the maps that pods take as they are (resources, security contexts, probes) are not listed here.
*/}}
{{- define "rotated-secrets.defaults" }}
operator: {}
crds: {install: true}
rbac: {create: true, aggregate: true, clusterWideFinalizers: true}
rollout: {enabled: true}
admissionPolicy: {}
serviceAccount: {create: true}
serviceAccountIdentity: {}
rotationJobs: {}
global: {}
image: {repository: rotated-secrets, pullPolicy: IfNotPresent}
replicas: 2
leaderElection: {}
podDisruptionBudget: {enabled: true}
terminationGracePeriodSeconds: 60
metrics: {service: {}, monitor: {kind: PodMonitor}, prometheusRule: {}, dashboard: {}}
ports: {metrics: 8080, health: 8081}
networkPolicy: {enabled: true, egressPorts: [443, 6443], podIdentityAgent: true}
{{- end }}

{{- define "rotated-secrets.complete" }}
{{- include "rotated-secrets.fill" (dict "into" .Values "defaults" (include "rotated-secrets.defaults" . | fromYaml)) }}
{{- end }}

{{- define "rotated-secrets.fill" }}
{{- range $key, $default := .defaults }}
{{- $missing := kindIs "invalid" (index $.into $key) }}
{{- if kindIs "map" $default }}
{{- if $missing }}{{ $_ := set $.into $key (dict) }}{{ end }}
{{- include "rotated-secrets.fill" (dict "into" (index $.into $key) "defaults" $default "whole" $missing) }}
{{- else if and $missing (or $.whole (not (kindIs "slice" $default))) }}
{{- $_ := set $.into $key $default }}
{{- end }}
{{- end }}
{{- end }}
