{{- define "fleetgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* A release's name may have dots, a Service's must not. */}}
{{- define "fleetgate.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "fleetgate.name" .) .Release.Name }}
{{- .Release.Name | replace "." "-" | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "fleetgate.name" .) | replace "." "-" | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* Something if a value is given, be it 0. */}}
{{- define "fleetgate.isGiven" -}}
{{- if not (or (kindIs "invalid" .) (eq (toString .) "")) }}yes{{ end }}
{{- end }}

{{- /* What is read, deployed and told where Gateways are watched: everywhere, or in some namespaces. */}}
{{- define "fleetgate.watchedRules" -}}
# What is read.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways, httproutes, grpcroutes, tlsroutes, tcproutes, listenersets, referencegrants, backendtlspolicies]
  verbs: [list, watch]
- apiGroups: [gateway.gloo.solo.io]
  resources: [gatewayparameters]
  verbs: [list, watch]
# Whose status is written.
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways/status, httproutes/status, grpcroutes/status, tlsroutes/status, tcproutes/status, listenersets/status, backendtlspolicies/status]
  verbs: [patch]
# What is told of them.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# What is read, and deployed for Gateways in their namespaces.
- apiGroups: [""]
  resources: [configmaps, secrets, serviceaccounts, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}

{{- /* What selects the pods: may not change in an upgrade. */}}
{{- define "fleetgate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "fleetgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "fleetgate.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "fleetgate.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: fleetgate
app.kubernetes.io/component: control-plane
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "fleetgate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "fleetgate.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- /* REGISTRY/REPOSITORY:TAG or @DIGEST of (list IMAGE ROOT). */}}
{{- define "fleetgate.image" -}}
{{- $image := index . 0 }}
{{- $root := index . 1 }}
{{- $registry := default $image.registry $root.Values.global.imageRegistry }}
{{- with $registry }}{{ . | trimSuffix "/" }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default $root.Chart.AppVersion $image.tag }}{{ end }}
{{- end }}

{{- define "fleetgate.imagePullSecrets" -}}
{{- range concat .Values.global.imagePullSecrets .Values.imagePullSecrets }}
- name: {{ kindIs "map" . | ternary . (dict "name" .) | dig "name" "" }}
{{- end }}
{{- end }}

{{- /* Of objects that are in no namespace: releases of one name may be in several. */}}
{{- define "fleetgate.clusterName" -}}
{{- printf "%s-%s" (include "fleetgate.fullname" .) .Release.Namespace | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* The Lease that says who leads: as fleetgate names it. */}}
{{- define "fleetgate.lease" -}}
{{- if eq .Values.controllerName "fleetgate.dev/gateway" }}fleetgate{{ else }}fleetgate.{{ replace "/" "." .Values.controllerName }}{{ end }}
{{- end }}

{{- /* True if the class is to be made: one that another release left behind, or made, stays as it is. */}}
{{- define "fleetgate.makesClass" -}}
{{- $class := dict }}
{{- if .Values.gatewayClass.create }}
{{- $class = lookup "gateway.networking.k8s.io/v1" "GatewayClass" "" .Values.gatewayClass.name | default dict }}
{{- $controller := dig "spec" "controllerName" .Values.controllerName $class }}
{{- if ne $controller .Values.controllerName }}
{{- fail (printf "GatewayClass %s is there already, of controllerName %s: set gatewayClass.name to another name" .Values.gatewayClass.name $controller) }}
{{- end }}
{{- $release := dig "metadata" "annotations" "meta.helm.sh/release-name" "" $class }}
{{- $namespace := dig "metadata" "annotations" "meta.helm.sh/release-namespace" "" $class }}
{{- if or (not $class) (and (eq $release .Release.Name) (eq $namespace .Release.Namespace)) }}true{{ end }}
{{- end }}
{{- end }}

{{- define "fleetgate.claimName" -}}
{{- default (printf "%s-state" (include "fleetgate.fullname" .)) .Values.state.persistence.existingClaim }}
{{- end }}

{{- /* Two pods with one log would undo each other's work: only one can have a volume. */}}
{{- define "fleetgate.checkValues" -}}
{{- $many := or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1) }}
{{- if and .Values.state.persistence.enabled $many }}
{{- fail "state.persistence.enabled goes with one replica only: set replicaCount to 1 and autoscaling.enabled to false, or turn persistence off (the log is made anew from the API server)" }}
{{- end }}
{{- if and .Values.state.persistence.enabled (eq (dig "type" "Recreate" .Values.updateStrategy) "RollingUpdate") }}
{{- fail "state.persistence.enabled needs updateStrategy.type Recreate: the new pod could not have the volume before the old one is gone" }}
{{- end }}
{{- if and (include "fleetgate.isGiven" .Values.podDisruptionBudget.minAvailable) (include "fleetgate.isGiven" .Values.podDisruptionBudget.maxUnavailable) }}
{{- fail "podDisruptionBudget: set minAvailable or maxUnavailable, not both" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail "autoscaling: minReplicas is more than maxReplicas" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (not .Values.autoscaling.targetCPUUtilizationPercentage) (not .Values.autoscaling.targetMemoryUtilizationPercentage) }}
{{- fail "autoscaling: both targets are 0, so nothing says how many pods there are to be: set targetCPUUtilizationPercentage or targetMemoryUtilizationPercentage" }}
{{- end }}
{{- if eq (int .Values.xds.port) (int .Values.health.port) }}
{{- fail "xds.port and health.port are the same: choose another for one of them" }}
{{- end }}
{{- if has .Release.Namespace (list "kube-system" "kube-public" "kube-node-lease") }}
{{- fail (printf "fleetgate cannot be installed in %s, which belongs to Kubernetes itself: give it a namespace of its own (--namespace fleetgate-system --create-namespace)" .Release.Namespace) }}
{{- end }}
{{- if not (regexMatch "^[a-z]" (include "fleetgate.fullname" .)) }}
{{- fail (printf "%s is no name of a Service, which begins with a letter: set fullnameOverride" (include "fleetgate.fullname" .)) }}
{{- end }}
{{- $parameters := .Values.gatewayClass.parametersRef }}
{{- if and .Values.watchNamespaces .Values.gatewayClass.create $parameters.namespace (not (has $parameters.namespace .Values.watchNamespaces)) }}
{{- fail (printf "gatewayClass.parametersRef is in namespace %s, which is not watched: add it to watchNamespaces" $parameters.namespace) }}
{{- end }}
{{- end }}
