{{/* Every process that runs: its name in values, and its command. */}}
{{- define "mailhaul.processes" -}}
poller: [worker, poll]
processor: [worker, process]
relay: [worker, relay]
scheduler: [scheduler]
exporter: [exporter]
{{- if .Values.console.enabled }}
console: [console]
{{- end }}
{{- end -}}

{{/* The maximal number of pods of a process. Takes its values. */}}
{{- define "mailhaul.most" -}}
{{- if eq (dig "autoscaling" "type" "none" .) "none" }}{{ dig "replicas" 1 . }}{{ else }}{{ .autoscaling.maxReplicas }}{{ end -}}
{{- end -}}

{{/* The minimal number of pods of a process. Takes its values. */}}
{{- define "mailhaul.fewest" -}}
{{- if eq (dig "autoscaling" "type" "none" .) "none" }}{{ dig "replicas" 1 . }}{{ else }}{{ .autoscaling.minReplicas }}{{ end -}}
{{- end -}}

{{/* Volumes that hold configuration and secrets. Whole folders, no subPath: only those are updated. */}}
{{- define "mailhaul.volumes" -}}
{{- $root := index . 0 -}}
- name: config
  projected:
    sources:
      - configMap: {name: {{ include "mailhaul.fullname" $root }}-config}
      - configMap: {name: {{ include "mailhaul.fullname" $root }}-mailboxes}
      {{- range $number := untilStep 2 (include "mailhaul.mailboxMaps" $root | int | add1 | int) 1 }}
      - configMap: {name: {{ include "mailhaul.fullname" $root }}-mailboxes-{{ $number }}, optional: true}
      {{- end }}
      {{- if $root.Values.test.enabled }}
      # There while `helm test` runs.
      - configMap: {name: {{ include "mailhaul.fullname" $root }}-test, optional: true}
      {{- end }}
      {{- range $root.Values.mailboxConfigMaps }}
      - configMap: {name: {{ . }}}
      {{- end }}
{{- range include "mailhaul.secretsOf" . | fromJsonArray }}
- name: {{ include "mailhaul.secretVolume" .name }}
  secret: {secretName: {{ .name }}, optional: {{ .optional }}}
{{- end }}
{{- end -}}

{{- define "mailhaul.volumeMounts" -}}
- {name: config, mountPath: /etc/mailhaul, readOnly: true}
{{- range include "mailhaul.secretsOf" . | fromJsonArray }}
- name: {{ include "mailhaul.secretVolume" .name }}
  mountPath: {{ include "mailhaul.secretsFolder" . }}/{{ .name }}
  readOnly: true
{{- end }}
{{- end -}}

{{/* Takes a list: the probe's values, the page, the port's name. */}}
{{- define "mailhaul.probe" -}}
{{- toYaml (index . 0) }}
httpGet: {path: {{ index . 1 }}, port: {{ index . 2 }}}
{{- end -}}

{{/* Settings of a process's pods: `pods`, overridden by the process's own `pod`. Takes a list: the root, its values. */}}
{{- define "mailhaul.podValues" -}}
{{- mustMergeOverwrite (deepCopy (index . 0).Values.pods) (deepCopy (default dict (index . 1).pod)) | toJson -}}
{{- end -}}

{{/* Where pods run, and how. Takes the settings of the pods. */}}
{{- define "mailhaul.scheduling" -}}
{{- range $name, $value := pick . "priorityClassName" "schedulerName" "runtimeClassName" "dnsPolicy" "nodeSelector" "tolerations" "affinity" "dnsConfig" "hostAliases" }}
{{- with $value }}
{{ $name }}: {{ kindIs "string" . | ternary . "" }}
{{- if not (kindIs "string" .) }}
{{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Placement and image pull secrets. Takes a list: the root, the settings of the pods. */}}
{{- define "mailhaul.placement" -}}
{{- $pod := index . 1 -}}
serviceAccountName: {{ include "mailhaul.serviceAccount" (index . 0) }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with include "mailhaul.pullSecrets" (index . 0) }}
imagePullSecrets:
  {{- . | nindent 2 }}
{{- end }}
{{- include "mailhaul.scheduling" $pod }}
securityContext:
  {{- toYaml $pod.securityContext | nindent 2 }}
{{- end -}}

{{/* The common part of a container. Takes a list: the root, the settings of the pods. */}}
{{- define "mailhaul.container" -}}
{{- $root := index . 0 -}}
{{- $pod := index . 1 -}}
image: {{ include "mailhaul.image" (list $root $root.Values.image $root.Chart.AppVersion) }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
command: [mailhaul]
securityContext:
  {{- toYaml $pod.containerSecurityContext | nindent 2 }}
{{- with $pod.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Environment of all containers. */}}
{{- define "mailhaul.env" -}}
- {name: HOME, value: /tmp}
- {name: TMPDIR, value: /tmp}
{{- with .env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of pods; those that select them take precedence. Takes a list: the root, the component, the user's. */}}
{{- define "mailhaul.podLabels" -}}
{{- $own := merge (dict "app.kubernetes.io/component" (index . 1) "app.kubernetes.io/part-of" "mailhaul") (include "mailhaul.selector" (index . 0) | fromYaml) -}}
{{- merge $own (index . 2) (index . 0).Values.commonLabels | toYaml -}}
{{- end -}}

{{/*
Resources, with a request for what /tmp, metrics and logs may take of a node's disk, unless there is one. Takes a list:
the resources, the size of /tmp.
*/}}
{{- define "mailhaul.resources" -}}
{{- $resources := deepCopy (index . 0) -}}
{{- $requests := default dict $resources.requests -}}
{{- if not (hasKey $requests "ephemeral-storage") -}}
{{- $bytes := include "mailhaul.bytes" (index . 1) | int64 -}}
{{- $_ := set $requests "ephemeral-storage" (printf "%dMi" (add 128 (div (add $bytes 1048575) 1048576))) -}}
{{- end -}}
{{- $_ := set $resources "requests" $requests -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* Bytes of a node's disk for the folders of a process. Takes a list: the root, the process, its values. */}}
{{- define "mailhaul.disk" -}}
{{- $values := index . 2 -}}
{{- $bytes := include "mailhaul.bytes" $values.scratchSize | int64 -}}
{{- if and (eq (index . 1) "console") (not $values.persistence.enabled) -}}
{{- $bytes = add $bytes (include "mailhaul.bytes" $values.persistence.size | int64) -}}
{{- end -}}
{{- $bytes -}}
{{- end -}}

{{- define "mailhaul.podTemplate" -}}
{{- $root := index . 0 -}}
{{- $process := index . 1 -}}
{{- $command := index . 2 -}}
{{- $values := index $root.Values $process -}}
{{- $pod := include "mailhaul.podValues" (list $root $values) | fromJson -}}
{{- if and (eq $process "console") $values.persistence.enabled $values.persistence.fsGroup -}}
{{- $_ := set $pod "securityContext" (merge $pod.securityContext (dict "fsGroup" (int $values.persistence.fsGroup))) -}}
{{- end -}}
{{- $scope := list $root $process -}}
{{- /* The console answers probes on its own port. */ -}}
{{- $port := eq $process "console" | ternary "http" "metrics" -}}
metadata:
  labels:
    {{- include "mailhaul.podLabels" (list $root $process $pod.labels) | nindent 4 }}
  annotations:
    checksum/config: {{ include "mailhaul.fixed" $root | sha256sum }}
    {{- with merge dict $pod.annotations $root.Values.commonAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  {{- include "mailhaul.placement" (list $root $pod) | nindent 2 }}
  {{- with $pod.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    - {{ toYaml . | nindent 6 | trim }}
      {{- if not .labelSelector }}
      labelSelector:
        matchLabels:
          {{- include "mailhaul.selector" $root | nindent 10 }}
          app.kubernetes.io/component: {{ $process }}
      {{- end }}
    {{- end }}
  {{- end }}
  {{- with $pod.initContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ $process }}
      {{- include "mailhaul.container" (list $root $pod) | nindent 6 }}
      args: {{ concat $command (list "--config" "/etc/mailhaul") $pod.extraArgs | toJson }}
      env:
        {{- include "mailhaul.env" $pod | nindent 8 }}
        # `mailhaul check` in this pod tries what this process has access to.
        - {name: MAILHAUL_ROLE, value: {{ $process }}}
        {{- if and (eq $process "scheduler") $root.Values.audit.schedule }}
        # The CronJob writes statements.
        - {name: MAILHAUL_AUDIT__ENABLED, value: "false"}
        {{- end }}
        {{- if eq $process "processor" }}
        - {name: PROMETHEUS_MULTIPROC_DIR, value: /run/mailhaul/metrics}
        {{- end }}
      ports:
        {{- if eq $process "console" }}
        - {name: http, containerPort: {{ include "mailhaul.consolePort" $root }}, protocol: TCP}
        {{- end }}
        - {name: metrics, containerPort: {{ $root.Values.metrics.port }}, protocol: TCP}
      startupProbe:
        {{- include "mailhaul.probe" (list $root.Values.probes.startup "/livez" $port) | nindent 8 }}
      livenessProbe:
        {{- include "mailhaul.probe" (list $root.Values.probes.liveness "/livez" $port) | nindent 8 }}
      readinessProbe:
        {{- include "mailhaul.probe" (list $root.Values.probes.readiness "/readyz" $port) | nindent 8 }}
      {{- with $pod.lifecycle }}
      lifecycle:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      resources:
        {{- include "mailhaul.resources" (list $values.resources (include "mailhaul.disk" (list $root $process $values))) | nindent 8 }}
      volumeMounts:
        {{- include "mailhaul.volumeMounts" $scope | nindent 8 }}
        - {name: scratch, mountPath: /tmp}
        {{- if eq $process "processor" }}
        - {name: metrics, mountPath: /run/mailhaul/metrics}
        {{- end }}
        {{- if eq $process "console" }}
        - {name: catalog, mountPath: {{ include "mailhaul.catalogFolder" $root }}}
        {{- end }}
        {{- with $pod.volumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with $pod.sidecars }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "mailhaul.volumes" $scope | nindent 4 }}
    - name: scratch
      emptyDir: {sizeLimit: {{ $values.scratchSize }}}
    {{- if eq $process "processor" }}
    - name: metrics
      emptyDir: {sizeLimit: 64Mi}
    {{- end }}
    {{- if eq $process "console" }}
    - name: catalog
      {{- if $root.Values.console.persistence.enabled }}
      persistentVolumeClaim: {claimName: {{ include "mailhaul.fullname" $root }}-console}
      {{- else }}
      emptyDir: {sizeLimit: {{ $root.Values.console.persistence.size }}}
      {{- end }}
    {{- end }}
    {{- with $pod.volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- define "mailhaul.testPort" -}}1110{{- end -}}
