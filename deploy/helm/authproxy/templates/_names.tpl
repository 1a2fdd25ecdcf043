{{- define "authproxy.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "authproxy.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "authproxy.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "authproxy.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "authproxy.selector" -}}
app.kubernetes.io/name: {{ include "authproxy.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "authproxy.labels" -}}
{{ include "authproxy.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "authproxy.account" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "authproxy.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "authproxy.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}

{{/* proxy.yaml, once its listeners are where the probes and the service look for them */}}
{{- define "authproxy.config" -}}
{{- $listen := .Values.config.listen }}
{{- if kindIs "string" $listen }}
{{- $listen = list (dict "address" $listen) }}
{{- end }}
{{- $http := printf ":%d" (int .Values.ports.http) }}
{{- $found := false }}
{{- range $listen }}
{{- $address := kindIs "string" . | ternary . (get (kindIs "map" . | ternary . dict) "address") }}
{{- if hasSuffix $http $address }}
{{- $found = true }}
{{- end }}
{{- end }}
{{- if not $found }}
{{- fail (printf "config.listen has no address with the port of ports.http; let one end with %s" $http) }}
{{- end }}
{{- $admin := printf ":%d" (int .Values.ports.admin) }}
{{- if not (hasSuffix $admin .Values.config.admin) }}
{{- fail (printf "config.admin is not at the port of ports.admin; let it end with %s" $admin) }}
{{- end }}
{{- if not .Values.config.routes }}
{{- fail "config.routes is empty; write what goes where, as whom, and the issuers and service_users for it" }}
{{- end }}
{{- toYaml .Values.config }}
{{- end }}
