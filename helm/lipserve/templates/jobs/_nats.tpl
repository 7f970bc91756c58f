{{/* Configuration of a NATS server. All servers together are one account, whose limit is what they may store: near it the
     account refuses, and alerts tell, before a disk is full. Every write is on the disk when it is confirmed. */}}
{{- define "lipserve.jobs.natsConfiguration" -}}
{{- $nats := .Values.jobs.nats -}}
{{- $name := printf "%s-nats" (include "lipserve.jobs.name" .) -}}
{{- $bytes := mulf 0.85 (include "lipserve.bytes" $nats.storage.size | float64) | int64 -}}
server_name: $POD_NAME
host: {{ .Values.listenAddress | quote }}
port: 4222
http: {{ ternary "[::]:8222" "0.0.0.0:8222" (contains ":" .Values.listenAddress) | quote }}
pid_file: "/run/nats/nats.pid"
lame_duck_grace_period: 10s
lame_duck_duration: 30s
{{- if gt (int $nats.replicas) 1 }}
cluster {
  name: {{ $name | quote }}
  host: {{ .Values.listenAddress | quote }}
  port: 6222
  routes: [
    {{- range $number := until (int $nats.replicas) }}
    {{ printf "nats-route://%s-%d.%s.%s.svc:6222" $name $number $name $.Release.Namespace | quote }}
    {{- end }}
  ]
}
{{- end }}
jetstream {
  store_dir: "/data"
  max_file_store: {{ $bytes }}
  max_memory_store: 67108864
  sync_interval: always
}
accounts {
  LIPSERVE {
    jetstream {
      max_file: {{ mul $bytes (int $nats.replicas) }}
      max_memory: 67108864
    }
    {{- if $nats.auth.existingSecret }}
    users: [{user: lipserve, password: $NATS_PASSWORD}]
    {{- else }}
    users: [{user: lipserve, password: ""}]
    {{- end }}
  }
  SYS {}
}
system_account: SYS
{{- if not $nats.auth.existingSecret }}
no_auth_user: lipserve
{{- end }}
{{- end -}}
