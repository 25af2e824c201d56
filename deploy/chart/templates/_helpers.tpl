{{- define "leadline.name" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Labels that select the pods of a component: (list $ "api"). */}}
{{- define "leadline.selector" -}}
app.kubernetes.io/name: leadline
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* The same labels on one line. */}}
{{- define "leadline.match" -}}
{{ include "leadline.selector" . | fromYaml | toJson }}
{{- end }}

{{- define "leadline.labels" -}}
{{ include "leadline.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ (index . 0).Chart.Name }}-{{ (index . 0).Chart.Version }}
{{- end }}

{{/* An image from `images`, by digest if it has one: (list $ "api"). */}}
{{- define "leadline.image" -}}
{{- $image := index (index . 0).Values.images (index . 1) -}}
{{ $image.repository }}{{ if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag }}{{ end }}
{{- end }}

{{/* The Secret keys to mount into Leadline's processes. */}}
{{- define "leadline.secretKeys" -}}
{{- $keys := without .Values.secrets.keys "KEDA_DATABASE_URL" -}}
{{- if .Values.postgresql.enabled }}{{ $keys = append (without $keys "LEADLINE_DATABASE_URL") "LEADLINE_DATABASE_URL" }}{{ end -}}
{{- if .Values.valkey.enabled }}{{ $keys = append (without $keys "LEADLINE_REDIS_URL") "LEADLINE_REDIS_URL" }}{{ end -}}
{{- if not (has "LEADLINE_DATABASE_URL" $keys) }}{{ fail "secrets.keys lacks LEADLINE_DATABASE_URL: put it into the Secret that secrets.name names, or set postgresql.enabled" }}{{ end -}}
{{- if and .Values.secrets.keys (not .Values.secrets.name) }}{{ fail "secrets.name is empty: name the Secret that has the keys of secrets.keys" }}{{ end -}}
{{- if and .Values.slack.enabled (not (or (has "LEADLINE_SLACK_SIGNING_SECRET" $keys) (has "LEADLINE_SLACK_APP_TOKEN" $keys))) }}{{ fail "slack.enabled needs LEADLINE_SLACK_SIGNING_SECRET or LEADLINE_SLACK_APP_TOKEN among secrets.keys" }}{{ end -}}
{{ $keys | toJson }}
{{- end }}

{{/* The Secret with the password of the chart's Valkey. */}}
{{- define "leadline.valkeySecret" -}}
{{ .Values.valkey.existingSecret | default (printf "%s-valkey" (include "leadline.name" .)) }}
{{- end }}

{{- define "leadline.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
{{- end }}

{{/* The security context of a container: (list $ "api"). `true` as third item allows user namespaces. */}}
{{- define "leadline.security" -}}
{{- $root := index . 0 -}}
{{- $hardened := and (index . 1) (eq $root.Values.sandbox.form "bubblewrap") -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {{ (ternary $root.Values.sandbox.seccompProfile (dict "type" "RuntimeDefault") $hardened) | toJson }}
{{- if $hardened }}
appArmorProfile: {{ $root.Values.sandbox.appArmorProfile | toJson }}
{{- end }}
{{- end }}

{{/* A setting, or its default: (list $ "LEADLINE_DRAIN_SECONDS" 20). */}}
{{- define "leadline.seconds" -}}
{{ index (index . 0).Values.settings (index . 1) | default (index . 2) }}
{{- end }}

{{/* The environment, mounts and volumes of each Leadline process. */}}
{{- define "leadline.env" -}}
{{- range $key := include "leadline.secretKeys" . | fromJsonArray }}
{{- if or $.Values.slack.enabled (not (hasPrefix "LEADLINE_SLACK_" $key)) }}
- {name: {{ $key }}_FILE, value: {{ printf "/run/secrets/leadline/%s" $key | quote }}}
{{- end }}
{{- end }}
{{- if .Values.modelProfiles }}
- {name: LEADLINE_MODEL_PROFILES, value: /etc/leadline/models.toml}
{{- end }}
{{- end }}

{{- define "leadline.mounts" -}}
- {name: documents, mountPath: /data}
- {name: models, mountPath: /models}
- {name: tmp, mountPath: /tmp}
- {name: metrics, mountPath: /run/leadline-metrics}
- {name: secrets, mountPath: /run/secrets/leadline, readOnly: true}
{{- if .Values.modelProfiles }}
- {name: settings, mountPath: /etc/leadline, readOnly: true}
{{- end }}
{{- end }}

{{- define "leadline.volumes" -}}
- name: documents
  persistentVolumeClaim: {claimName: {{ .Values.storage.documents.existingClaim | default (printf "%s-documents" (include "leadline.name" .)) }}}
- name: models
  persistentVolumeClaim: {claimName: {{ .Values.storage.models.existingClaim | default (printf "%s-models" (include "leadline.name" .)) }}}
- {name: tmp, emptyDir: {sizeLimit: 4Gi}}
- {name: metrics, emptyDir: {medium: Memory, sizeLimit: 64Mi}}
- name: secrets
  projected:
    defaultMode: 288
    sources:
      {{- $keys := include "leadline.secretKeys" . | fromJsonArray }}
      {{- if .Values.postgresql.enabled }}
      - secret: {name: {{ include "leadline.name" . }}-database, items: [{key: LEADLINE_DATABASE_URL, path: LEADLINE_DATABASE_URL}]}
      {{- $keys = without $keys "LEADLINE_DATABASE_URL" }}
      {{- end }}
      {{- if .Values.valkey.enabled }}
      - secret: {name: {{ include "leadline.valkeySecret" . }}, items: [{key: LEADLINE_REDIS_URL, path: LEADLINE_REDIS_URL}]}
      {{- $keys = without $keys "LEADLINE_REDIS_URL" }}
      {{- end }}
      {{- if $keys }}
      - secret:
          name: {{ .Values.secrets.name }}
          items:
            {{- range $keys }}
            - {key: {{ . }}, path: {{ . }}}
            {{- end }}
      {{- end }}
{{- if .Values.modelProfiles }}
- name: settings
  configMap: {name: {{ include "leadline.name" . }}-settings, items: [{key: models.toml, path: models.toml}]}
{{- end }}
{{- end }}

{{/* The start of a Leadline pod's spec: (list $ "component"). */}}
{{- define "leadline.pod" -}}
serviceAccountName: {{ include "leadline.name" (index . 0) }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{- include "leadline.podSecurity" (index . 0) | nindent 2 }}
{{- with (index . 0).Values.images.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- end }}

{{/* Waits until the model job has downloaded the models to their volume. */}}
{{- define "leadline.waitForModels" -}}
- name: models
  image: {{ include "leadline.image" (list . "api") }}
  imagePullPolicy: {{ .Values.images.pullPolicy }}
  command: [sh, -c, "until leadline models verify > /dev/null 2>&1; do sleep 5; done"]
  securityContext: {{- include "leadline.security" (list . false) | nindent 4 }}
  resources: {requests: {cpu: 50m, memory: 256Mi}, limits: {memory: 512Mi}}
  volumeMounts:
    - {name: models, mountPath: /models, readOnly: true}
    - {name: tmp, mountPath: /tmp}
{{- end }}

{{/* `true` if the files are in a bucket, and nothing otherwise. */}}
{{- define "leadline.hasBucket" -}}
{{ if hasPrefix "s3://" (index .Values.settings "LEADLINE_BLOBS" | default "" | toString) }}true{{ end }}
{{- end }}

{{/* The local disk for a bucket's files: copies, and files in transit. The limit is twice their sizes, because copies
     exceed their limit while they are deleted, and a resumed upload is put together beside its parts. Mounting a part
     of the volume, which Leadline's user has created, hides the volume's own permissions, which allow everybody. */}}
{{- define "leadline.localMounts" -}}
{{- if include "leadline.hasBucket" . }}
- {name: local, mountPath: /data/blobs-in-use, subPath: blobs-in-use}
{{- end }}
{{- end }}

{{- define "leadline.localVolumes" -}}
{{- if include "leadline.hasBucket" . }}
{{- $copies := index .Values.settings "LEADLINE_S3_COPIES_BYTES" | default 1073741824 | int64 }}
{{- $uploads := index .Values.settings "LEADLINE_UPLOADS_AT_ONCE" | default 32 | int64 }}
{{- $upload := index .Values.settings "LEADLINE_MAX_UPLOAD_BYTES" | default 536870912 | int64 }}
- {name: local, emptyDir: {sizeLimit: {{ mul 2 (add $copies (mul $uploads $upload)) | quote }}}}
{{- end }}
{{- end }}

{{/* Creates the folders as Leadline's user: a shared volume may not let the node's root create a mount point. */}}
{{- define "leadline.makeLocalFolders" -}}
{{- if include "leadline.hasBucket" . }}
- name: folders
  image: {{ include "leadline.image" (list . "api") }}
  imagePullPolicy: {{ .Values.images.pullPolicy }}
  command: [sh, -c, "umask 077 && mkdir -p /data/blobs-in-use /local/blobs-in-use"]
  securityContext: {{- include "leadline.security" (list . false) | nindent 4 }}
  resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 64Mi}}
  volumeMounts:
    - {name: documents, mountPath: /data}
    - {name: local, mountPath: /local}
    - {name: tmp, mountPath: /tmp}
{{- end }}
{{- end }}

{{- define "leadline.envFrom" -}}
- configMapRef: {name: {{ include "leadline.name" . }}-settings}
{{- end }}
