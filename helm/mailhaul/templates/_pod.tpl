{{/* Every process: its name in values, and its command. */}}
{{- define "mailhaul.processes" -}}
poller: [worker, poll]
processor: [worker, process]
relay: [worker, relay]
scheduler: [scheduler]
exporter: [exporter]
{{- end -}}

{{/* The most pods that a process may have. Takes its values. */}}
{{- define "mailhaul.most" -}}
{{- if eq (dig "autoscaling" "type" "none" .) "none" }}{{ dig "replicas" 1 . }}{{ else }}{{ .autoscaling.maxReplicas }}{{ end -}}
{{- end -}}

{{/* The fewest pods that a process may have. Takes its values. */}}
{{- define "mailhaul.fewest" -}}
{{- if eq (dig "autoscaling" "type" "none" .) "none" }}{{ dig "replicas" 1 . }}{{ else }}{{ .autoscaling.minReplicas }}{{ end -}}
{{- end -}}

{{/* Volumes that hold configuration and secrets. Whole folders, no subPath: only those follow changes. */}}
{{- define "mailhaul.volumes" -}}
{{- $root := index . 0 -}}
- name: config
  projected:
    sources:
      - configMap: {name: {{ include "mailhaul.fullname" $root }}-config}
      - configMap: {name: {{ include "mailhaul.fullname" $root }}-mailboxes}
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

{{- define "mailhaul.probe" -}}
{{- toYaml . }}
httpGet: {path: /livez, port: metrics}
{{- end -}}

{{/* What a process's pods are like: `pods`, with the process's own `pod` over it. Takes a list: the root, its values. */}}
{{- define "mailhaul.podValues" -}}
{{- mustMergeOverwrite (deepCopy (index . 0).Values.pods) (deepCopy (default dict (index . 1).pod)) | toJson -}}
{{- end -}}

{{- define "mailhaul.podTemplate" -}}
{{- $root := index . 0 -}}
{{- $process := index . 1 -}}
{{- $command := index . 2 -}}
{{- $values := index $root.Values $process -}}
{{- $pod := include "mailhaul.podValues" (list $root $values) | fromJson -}}
{{- $scope := list $root $process -}}
metadata:
  labels:
    {{- include "mailhaul.selector" $root | nindent 4 }}
    app.kubernetes.io/component: {{ $process }}
    app.kubernetes.io/part-of: mailhaul
    {{- with $pod.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ include "mailhaul.fixed" $root | sha256sum }}
    {{- with $pod.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "mailhaul.serviceAccount" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  {{- with include "mailhaul.pullSecrets" $root }}
  imagePullSecrets:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with $pod.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $pod.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $pod.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $pod.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
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
  securityContext:
    {{- toYaml $pod.securityContext | nindent 4 }}
  containers:
    - name: {{ $process }}
      image: {{ include "mailhaul.image" (list $root $root.Values.image $root.Chart.AppVersion) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: [mailhaul]
      args: {{ concat $command (list "--config" "/etc/mailhaul") | toJson }}
      env:
        - {name: HOME, value: /tmp}
        - {name: TMPDIR, value: /tmp}
        {{- if eq $process "processor" }}
        - {name: PROMETHEUS_MULTIPROC_DIR, value: /run/mailhaul/metrics}
        {{- end }}
        {{- with $pod.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $pod.envFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - {name: metrics, containerPort: {{ $root.Values.metrics.port }}, protocol: TCP}
      startupProbe:
        {{- include "mailhaul.probe" $root.Values.probes.startup | nindent 8 }}
      livenessProbe:
        {{- include "mailhaul.probe" $root.Values.probes.liveness | nindent 8 }}
      readinessProbe:
        {{- include "mailhaul.probe" $root.Values.probes.readiness | nindent 8 }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      securityContext:
        {{- toYaml $pod.containerSecurityContext | nindent 8 }}
      volumeMounts:
        {{- include "mailhaul.volumeMounts" $scope | nindent 8 }}
        - {name: scratch, mountPath: /tmp}
        {{- if eq $process "processor" }}
        - {name: metrics, mountPath: /run/mailhaul/metrics}
        {{- end }}
        {{- with $pod.volumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    {{- include "mailhaul.volumes" $scope | nindent 4 }}
    - name: scratch
      emptyDir: {sizeLimit: {{ $values.scratchSize }}}
    {{- if eq $process "processor" }}
    - name: metrics
      emptyDir: {sizeLimit: 64Mi}
    {{- end }}
    {{- with $pod.volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- define "mailhaul.testPort" -}}1110{{- end -}}
