{{- define "lipserve.validate.workload" -}}
{{- $made := list -}}
{{- range .Values.extraObjects }}
{{- $name := (.metadata | default dict).name }}
{{- if not (and .apiVersion .kind $name) }}
extraObjects: an object has no apiVersion, no kind or no metadata.name; give it all three
{{- else }}
{{- $id := printf "%s %s/%s" .kind (.metadata.namespace | default $.Release.Namespace) $name }}
{{- if has $id $made }}
extraObjects: {{ $id }} is there twice; leave one of them out
{{- end }}
{{- $made = append $made $id }}
{{- end }}
{{- end }}
{{- $pods := ternary .Values.replicas (max 1 .Values.autoscaling.minReplicas) (eq .Values.autoscaling.mode "none") | int -}}
{{- $budget := .Values.podDisruptionBudget -}}
{{- $least := $budget.minAvailable -}}
{{- if and $budget.enabled (eq $pods 0) }}
podDisruptionBudget.enabled: there is nothing to protect with replicas 0; set it to false, or replicas to 1 or more
{{- else if and $budget.enabled (kindIs "invalid" $least) (kindIs "invalid" $budget.maxUnavailable) }}
podDisruptionBudget: it says nothing; give maxUnavailable or minAvailable
{{- else if and $budget.enabled (kindIs "invalid" $least) (has (toString $budget.maxUnavailable) (list "0" "0%")) }}
podDisruptionBudget.maxUnavailable: with {{ $budget.maxUnavailable }} no node that runs a pod can ever be emptied; give 1 or more
{{- else if and $budget.enabled (not (kindIs "invalid" $least)) (or (eq (toString $least) "100%") (and (not (kindIs "string" $least)) (ge (int $least) $pods))) }}
podDisruptionBudget.minAvailable: {{ $least }} of {{ $pods }} pods can never be met while a node is emptied; give less, or more replicas
{{- end }}
{{- $strategy := include "lipserve.server.strategy" . | fromYaml -}}
{{- if and (has (toString $strategy.rollingUpdate.maxSurge) (list "0" "0%")) (has (toString $strategy.rollingUpdate.maxUnavailable) (list "0" "0%")) }}
rollout: with maxSurge and maxUnavailable both 0 no pod can ever be replaced; set one of them to 1
{{- end }}
{{- if and .Values.priorityClass.name .Values.priorityClass.create }}
priorityClass: name is a class that exists, create makes one; give one of the two
{{- end }}
{{- range $key, $class := dict "priorityClass.name" .Values.priorityClass.name "engines.build.priorityClassName" .Values.engines.build.priorityClassName }}
{{- if hasPrefix "system-" $class }}
{{ $key }}: {{ $class }} is for the cluster's own pods; name another class, or set priorityClass.create to true
{{- end }}
{{- end }}
{{- $own := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" "lipserve-store" -}}
{{- range $key, $labels := dict "podLabels" .Values.podLabels "commonLabels" .Values.commonLabels }}
{{- range $label, $_ := $labels }}
{{- if has $label $own }}
{{ $key }}: {{ $label }} is the chart's own label; choose another
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Compute capabilities of the products that are known, as GPU feature discovery names them. */}}
{{- define "lipserve.capabilities" -}}
{{- $known := list (dict "name" "A100|A30" "capability" "8.0") (dict "name" "A10|A40|A16|A2|RTX-A" "capability" "8.6") (dict "name" "L4|L40|L40S|RTX-.*-Ada" "capability" "8.9") (dict "name" "H100|H200|H800|GH200" "capability" "9.0") (dict "name" "B200|GB200" "capability" "10.0") (dict "name" "V100" "capability" "7.0") (dict "name" "T4" "capability" "7.5") -}}
{{- $found := list -}}
{{- range $product := .Values.accelerator.product -}}
{{- range $known -}}
{{- if regexMatch (printf "(^|-)(%s)(-|$)" .name) $product -}}{{- $found = append $found .capability -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $found | uniq | join " and " -}}
{{- end -}}

{{- define "lipserve.validate.accelerator" -}}
{{- $accelerator := .Values.accelerator -}}
{{- $kind := $accelerator.kind -}}
{{- if and (eq .Values.profile "tensorrt") (eq $kind "none") }}
profile: tensorrt needs a GPU and accelerator.kind is none; set it to gpu, mig or timeslice, or profile to onnx
{{- end }}
{{- if and (eq .Values.profile "embedded") (ne $kind "none") }}
profile: embedded computes on CPUs, and its GPU would idle; set accelerator.kind to none, or profile to tensorrt or onnx
{{- end }}
{{- if and (eq $kind "mig") (not $accelerator.migProfile) }}
accelerator.migProfile: kind mig asks for nvidia.com/mig-<profile>; give one, such as 3g.40gb
{{- end }}
{{- if and (ne $kind "mig") $accelerator.migProfile }}
accelerator.migProfile: {{ $accelerator.migProfile }} is not used by kind {{ $kind }}; set accelerator.kind to mig, or leave it empty
{{- end }}
{{- if and (has $kind (list "mig" "timeslice")) (gt (int $accelerator.count) 1) }}
accelerator.count: {{ $accelerator.count }} parts of a GPU are no larger GPU to one Triton; set it to 1, and replicas to {{ $accelerator.count }}
{{- end }}
{{- if and (eq $kind "dra") (not (semverCompare ">=1.34.0-0" .Capabilities.KubeVersion.Version)) }}
accelerator.kind: dra needs resource.k8s.io/v1 of Kubernetes 1.34, and this is {{ .Capabilities.KubeVersion.Version }}; take gpu, mig or timeslice, with the device plugin
{{- end }}
{{- if and (ne $kind "dra") $accelerator.selectors }}
accelerator.selectors: kind {{ $kind }} claims no devices; set accelerator.kind to dra, or leave them out
{{- end }}
{{- if and (eq $kind "none") $accelerator.product }}
accelerator.product: no GPU is asked for with kind none; set accelerator.kind to gpu, mig or timeslice
{{- end }}
{{- range $accelerator.product }}
{{- if hasSuffix "-SHARED" . }}
accelerator.product: {{ . }} is how a shared GPU's label ends; leave -SHARED out, the chart adds it where timesliceRenamed is false
{{- end }}
{{- end }}
{{- $capabilities := include "lipserve.capabilities" . -}}
{{- if and (eq .Values.profile "tensorrt") (contains " and " $capabilities) }}
accelerator.product: compute capabilities {{ $capabilities }}, and engines fit one; install a release for each
{{- end }}
{{- end -}}

{{- define "lipserve.validate.store" -}}
{{- $store := .Values.store -}}
{{- if include "lipserve.store.remote" . }}
{{- $cloud := index $store $store.kind -}}
{{- $keys := ternary "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" "credentials.json" (eq $store.kind "s3") -}}
{{- if not $cloud.bucket }}
store.{{ $store.kind }}.bucket: nothing says where the models are; name the bucket
{{- end }}
{{- if and (not $cloud.existingSecret) (not $cloud.workloadIdentity) }}
store.{{ $store.kind }}: there are no credentials; name existingSecret (with {{ $keys }}), or set workloadIdentity to true
{{- else if and $cloud.existingSecret $cloud.workloadIdentity }}
store.{{ $store.kind }}: existingSecret and workloadIdentity exclude each other; keep one
{{- end }}
{{- if and $cloud.workloadIdentity (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
store.{{ $store.kind }}.workloadIdentity: the identity is a service account's, and there is none; set serviceAccount.create to true, or name one
{{- end }}
{{- end }}
{{- if and (eq $store.kind "s3") $store.s3.endpoint .Values.networkPolicy.enabled }}
{{- $port := include "lipserve.port" $store.s3.endpoint -}}
{{- if ne $port (toString .Values.networkPolicy.objectStore.port) }}
networkPolicy.objectStore.port: {{ .Values.networkPolicy.objectStore.port }} is open and store.s3.endpoint is at {{ $port }}; set it to {{ $port }}
{{- end }}
{{- end }}
{{- if and (eq $store.kind "image") (not $store.image.repository) }}
store.image.repository: nothing says which image has the models; name it
{{- end }}
{{- if and $store.image.mount (ne $store.kind "image") }}
store.image.mount: kind {{ $store.kind }} is no image; set store.kind to image, or store.image.mount to false
{{- else if and $store.image.mount (not (semverCompare ">=1.33.0-0" .Capabilities.KubeVersion.Version)) }}
store.image.mount: folders of images are mounted from Kubernetes 1.33 on, and this is {{ .Capabilities.KubeVersion.Version }}; set it to false, and the image is copied
{{- end }}
{{- if and (eq $store.kind "pvc") $store.cache.existingClaim }}
store.cache.existingClaim: kind pvc is mounted, not copied; leave it empty, or give it as store.pvc.existingClaim
{{- end }}
{{- if and (eq $store.kind "image") $store.cache.existingClaim }}
store.cache.existingClaim: with kind image every new pod would copy over the files that others have open; leave it empty
{{- end }}
{{- $most := ternary .Values.replicas .Values.autoscaling.maxReplicas (eq .Values.autoscaling.mode "none") | int -}}
{{- if and (include "lipserve.store.oneNode" .) (gt $most 1) }}
store.pvc.accessModes: ReadWriteOnce serves one node, and there may be {{ $most }} pods; give [ReadWriteMany], or store.kind s3, gcs or image
{{- end }}
{{- if and $store.export.enabled (include "lipserve.store.readOnly" .) }}
store.export.enabled: the store is {{ include "lipserve.store.readOnly" . }} and cannot be written; set it to false
{{- end }}
{{- end -}}

{{/* What makes the store read-only to the build Job, in words; or nothing. */}}
{{- define "lipserve.store.readOnly" -}}
{{- if eq .Values.store.kind "image" -}}
an image
{{- else if and (eq .Values.store.kind "pvc") (eq (toJson .Values.store.pvc.accessModes) "[\"ReadOnlyMany\"]") -}}
ReadOnlyMany
{{- end -}}
{{- end -}}

{{- define "lipserve.validate.engines" -}}
{{- if include "lipserve.build.enabled" . }}
{{- range $key := list "nodeSelector" "affinity" "tolerations" }}
{{- if and (index $.Values $key) (kindIs "invalid" (index $.Values.engines.build $key)) }}
engines.build.{{ $key }}: the Job has its own, so that a change of the pods' {{ $key }} starts no other; give it, {{ ternary "[]" "{}" (eq $key "tolerations") }} for none
{{- end }}
{{- end }}
{{- range $label, $_ := .Values.engines.build.podLabels }}
{{- if has $label (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "lipserve-store" "lipserve-build") }}
engines.build.podLabels: {{ $label }} is the chart's own label; choose another
{{- end }}
{{- end }}
{{- end }}
{{- if and (include "lipserve.build.engines" .) (include "lipserve.store.readOnly" .) }}
engines.build.enabled: the store is {{ include "lipserve.store.readOnly" . }} and takes no engines; set it to false, with engines in the store already
{{- end }}
{{- end -}}

{{- define "lipserve.validate.storage" -}}
{{- $resources := include "lipserve.server.resources" . | fromYaml -}}
{{- $limits := $resources.limits -}}
{{- $requests := $resources.requests -}}
{{- $size := .Values.sharedMemory.size -}}
{{- $bytes := include "lipserve.bytes" $size | float64 -}}
{{- $least := mul 4 (int .Values.envoy.limits.requestMiB) -}}
{{- if lt $bytes (mulf 1048576 $least) }}
sharedMemory.size: {{ $size }} is less than four requests of {{ int .Values.envoy.limits.requestMiB }} MiB (envoy.limits.requestMiB), for two processes of the first stage and two of the last; give {{ $least }}Mi or more
{{- end }}
{{- $limit := include "lipserve.bytes" ($limits.memory | toString) | float64 -}}
{{- if lt $limit (mulf 1048576 (include "lipserve.server.leastMemory" . | float64)) }}
resources.limits.memory: {{ $limits.memory }} is less than the {{ include "lipserve.server.leastMemoryQuantity" . }} that the largest requests take; leave it out, or lower requestLimits.pixels or requestLimits.acceptedMib
{{- end }}
{{- if ge $bytes $limit }}
sharedMemory.size: {{ $size }} counts towards resources.limits.memory of {{ $limits.memory }} and leaves nothing else; raise the limit
{{- end }}
{{- if gt (include "lipserve.bytes" ($requests.memory | toString) | float64) $limit }}
resources.requests.memory: {{ $requests.memory }} is more than the limit of {{ $limits.memory }}; give the same or less
{{- end }}
{{- end -}}
