{{- define "meerkat.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Of all resources: at most 52 characters, so that "-nodeport" and pods' hashes fit behind. */}}
{{- define "meerkat.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "meerkat.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "meerkat.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "meerkat.selector" -}}
app.kubernetes.io/name: {{ include "meerkat.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "meerkat.labels" -}}
{{ include "meerkat.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "meerkat.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}

{{- define "meerkat.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "meerkat.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "meerkat.databaseSecret" -}}
{{ default (printf "%s-database" (include "meerkat.fullname" .)) .Values.rdbms.existingSecret }}
{{- end }}

{{- define "meerkat.cookieSecret" -}}
{{ default (printf "%s-cookie" (include "meerkat.fullname" .)) .Values.nodeCookieSecret }}
{{- end }}

{{/* Empty: self-signed. */}}
{{- define "meerkat.tlsSecret" -}}
{{- if .Values.certManager.enabled }}
{{- printf "%s-tls" (include "meerkat.fullname" .) }}
{{- else }}
{{- .Values.tlsCertSecret }}
{{- end }}
{{- end }}

{{/* replicaCount, or what somebody has scaled to since, as long as replicaCount is the same as then. Empty: the autoscaler's. */}}
{{- define "meerkat.replicas" -}}
{{- if not .Values.autoscaling.enabled }}
{{- $there := lookup "apps/v1" "StatefulSet" .Release.Namespace (include "meerkat.fullname" .) }}
{{- $said := dig "metadata" "annotations" "meerkat/replica-count" "" ($there | default dict) }}
{{- if eq $said (.Values.replicaCount | toString) }}
{{- $there.spec.replicas }}
{{- else }}
{{- .Values.replicaCount }}
{{- end }}
{{- end }}
{{- end }}

{{- define "meerkat.grace" -}}
{{- if .Values.terminationGracePeriodSeconds }}
{{- .Values.terminationGracePeriodSeconds }}
{{- else }}
{{- add .Values.drain.wait .Values.drain.timeout 15 }}
{{- end }}
{{- end }}

{{- define "meerkat.checks" -}}
{{- $many := or (gt (int .Values.replicaCount) 1) .Values.autoscaling.enabled }}
{{- if and (eq .Values.persistentDatabase "sqlite") $many }}
{{- fail "persistentDatabase=sqlite is for one replica: every pod would have accounts of its own. Use persistentDatabase=rdbms for more" }}
{{- end }}
{{- if and (eq .Values.volatileDatabase "local") $many }}
{{- fail "volatileDatabase=local is for one replica: pods would not know of each other's users. Use volatileDatabase=cets for more" }}
{{- end }}
{{- if and (eq .Values.persistentDatabase "rdbms") (not .Values.rdbms.host) (not .Values.meerkatConfig) }}
{{- fail "persistentDatabase=rdbms needs rdbms.host" }}
{{- end }}
{{- if and .Values.nodeCookie (lt (len .Values.nodeCookie) 16) }}
{{- fail "nodeCookie must have 16 characters or more" }}
{{- end }}
{{- if and .Values.certManager.enabled (not .Values.certManager.issuerRef.name) }}
{{- fail "certManager.enabled needs certManager.issuerRef.name" }}
{{- end }}
{{- if .Values.autoscaling.enabled }}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) }}
{{- fail "autoscaling.minReplicas is larger than autoscaling.maxReplicas" }}
{{- end }}
{{- if not (or .Values.autoscaling.targetCPUUtilizationPercentage .Values.autoscaling.targetSessionsPerPod) }}
{{- fail "autoscaling.enabled needs targetCPUUtilizationPercentage or targetSessionsPerPod" }}
{{- end }}
{{- if and .Values.autoscaling.targetCPUUtilizationPercentage (not (dig "requests" "cpu" "" .Values.resources)) }}
{{- fail "autoscaling.targetCPUUtilizationPercentage is a share of resources.requests.cpu: set that as well" }}
{{- end }}
{{- end }}
{{- end }}

{{/* meerkat.ini of the values. Lines have at most 198 characters. */}}
{{- define "meerkat.config" -}}
[meerkat]
hosts = {{ join ",\n    " .Values.hosts }}
node = ${POD_NAME}.{{ .Release.Namespace }}
workers = {{ .Values.workers }}
state_dir = /var/lib/meerkat
stop_timeout = {{ add .Values.drain.timeout 10 }}s

[log]
target = stdout
format = json
level = {{ .Values.log.level }}
{{- with .Values.log.levels }}
levels = {{ join ",\n    " . }}
{{- end }}

[tls]
{{- if include "meerkat.tlsSecret" . }}
certificate = /etc/meerkat-tls/{{ .Values.certs.fullChain }}
key = /etc/meerkat-tls/{{ .Values.certs.privKey }}
watch = 30s
{{- else }}
self_signed = yes
{{- end }}

[rdbms]
{{- if eq .Values.persistentDatabase "rdbms" }}
driver = {{ .Values.rdbms.driver }}

[rdbms_{{ .Values.rdbms.driver }}]
host = {{ .Values.rdbms.host }}
port = {{ .Values.rdbms.port }}
database = {{ .Values.rdbms.database }}
user = file:/run/secrets/meerkat/database/{{ .Values.rdbms.usernameKey }}
password = file:/run/secrets/meerkat/database/{{ .Values.rdbms.passwordKey }}
connections = {{ .Values.rdbms.connections }}
{{- if .Values.rdbms.tls.caSecret }}
sslmode = verify-full
sslrootcert = /run/secrets/meerkat/database-ca/{{ .Values.rdbms.tls.caKey }}
{{- else if eq (.Values.rdbms.tls.required | toString) "true" }}
sslmode = require
{{- else }}
sslmode = prefer
{{- end }}
{{- else }}
driver = sqlite
{{- end }}

[auth_rdbms]
[sasl]
[register]
enabled = {{ ternary "yes" "no" .Values.registration }}

[c2s]
listen = *:5222
listen_tls = *:5223

[http]
listen = *:5280
[health]

[metrics]
listen = *:9091

[graphql]
user_listen = *:5561
[admin]

[router]
{{- if eq .Values.volatileDatabase "cets" }}
tables = cets

[cets]
cluster = {{ .Release.Namespace }}/{{ include "meerkat.fullname" . }}
listen = *:5290
advertise = ${POD_IP}
secret = file:/run/secrets/meerkat/cookie/cookie
{{- else }}
tables = tables_local
{{- end }}

[roster]
[presence]
[offline]
[blocking]
[sm]
drain_timeout = {{ .Values.drain.timeout }}s
[carbons]
[csi]
[disco]
[ping]
[version]
[time]
[last]
[vcard]
[private]
{{- if .Values.extraConfig }}

@include /etc/meerkat/extra.ini
{{- end }}
{{ end }}

{{- define "meerkat.files" -}}
meerkat.ini: |
  {{- if .Values.meerkatConfig }}
  {{- tpl .Values.meerkatConfig . | nindent 2 }}
  {{- else }}
  {{- include "meerkat.config" . | nindent 2 }}
  {{- end }}
{{- with .Values.extraConfig }}
extra.ini: |
  {{- . | nindent 2 }}
{{- end }}
{{- end }}
