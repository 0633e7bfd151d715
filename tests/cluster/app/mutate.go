package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"slices"
)

// A JSON object, and a list of them.
type (
	object  = map[string]any
	objects = []any
)

const (
	mutatorName = "second-webhook"
	mutatorEnv  = "SECOND_WEBHOOK"
)

// runMutatingWebhook serves a mutating webhook that changes every pod, as other vendors' webhooks do:
//
//	/change         adds an environment variable and a volume mount to every container, and reverses lists
//	/add-container  does the same and adds a container with a probe
//	/istio          injects as Istio does: a proxy, and probes that are sent to it
//
// Its changes make the API server call a webhook with `reinvocationPolicy: IfNeeded` again.
func runMutatingWebhook(arguments []string) {
	flags := flag.NewFlagSet("mutate", flag.ExitOnError)
	address := flags.String("https", ":9443", "address to listen on")
	dir := flags.String("tls-dir", "/tls", "folder with tls.crt and tls.key")
	_ = flags.Parse(arguments)

	mux := http.NewServeMux()
	mux.HandleFunc("/change", review(changePod))
	mux.HandleFunc("/add-container", review(func(pod object) {
		addContainer(pod)
		changePod(pod)
	}))
	mux.HandleFunc("/istio", review(injectIstio))
	log.Print("listening")
	serve(tls.NewListener(listen(*address), serverTLS(*dir)), mux)
}

// review answers an AdmissionReview with a patch that replaces the pod's metadata and spec.
func review(mutate func(pod object)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request struct {
			APIVersion string
			Request    struct {
				UID    string
				Object object
			}
		}
		decoder := json.NewDecoder(r.Body)
		decoder.UseNumber()
		if err := decoder.Decode(&request); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		pod := request.Request.Object
		mutate(pod)
		patch, err := json.Marshal(objects{
			object{"op": "replace", "path": "/metadata", "value": pod["metadata"]},
			object{"op": "replace", "path": "/spec", "value": pod["spec"]},
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		response := object{"uid": request.Request.UID, "allowed": true, "patchType": "JSONPatch", "patch": patch}
		_ = json.NewEncoder(w).Encode(object{"apiVersion": request.APIVersion, "kind": "AdmissionReview", "response": response})
	}
}

func changePod(pod object) {
	spec := pod["spec"].(object)
	for _, list := range []string{"initContainers", "containers"} {
		for _, container := range listOf(spec, list) {
			changeContainer(container.(object))
		}
	}
	volume := object{"name": mutatorName, "emptyDir": object{}}
	spec["volumes"] = addNamed(listOf(spec, "volumes"), volume)
	// The order of init containers has a meaning, the order of the others has none.
	for _, list := range []string{"containers", "volumes"} {
		slices.Reverse(listOf(spec, list))
	}
}

func changeContainer(container object) {
	variable := object{"name": mutatorEnv, "value": "true"}
	mount := object{"name": mutatorName, "mountPath": "/" + mutatorName}
	container["env"] = addNamed(listOf(container, "env"), variable)
	container["volumeMounts"] = addNamed(listOf(container, "volumeMounts"), mount)
	for _, list := range []string{"env", "volumeMounts", "ports"} {
		slices.Reverse(listOf(container, list))
	}
}

func addContainer(pod object) {
	spec := pod["spec"].(object)
	container := object{
		"name": "added", "image": "localhost/app:1", "args": objects{"-http", ":9001"},
		"readinessProbe": object{"tcpSocket": object{"port": 9001}, "periodSeconds": 1},
	}
	spec["containers"] = addNamed(listOf(spec, "containers"), container)
}

// injectIstio adds a proxy with a table of probers, and sends the probes to its port, as Istio's injector does
// (pkg/kube/inject/app_probe.go). A probe that has this port already is not in the table, and the table of an earlier call
// is kept.
func injectIstio(pod object) {
	const port = 15020
	spec, metadata := pod["spec"].(object), pod["metadata"].(object)
	probers := object{}
	for _, item := range listOf(spec, "containers") {
		container := item.(object)
		probe, _ := container["readinessProbe"].(object)
		get, _ := probe["httpGet"].(object)
		if get == nil || fmt.Sprint(get["port"]) == fmt.Sprint(port) {
			continue
		}
		path := fmt.Sprintf("/app-health/%s/readyz", container["name"])
		probers[path] = object{"httpGet": get}
		probe["httpGet"] = object{"path": path, "port": port}
	}
	proxy := object{"name": "istio-proxy", "image": "localhost/app:1", "restartPolicy": "Always"}
	proxies := addNamed(listOf(spec, "initContainers"), proxy)
	for _, item := range proxies {
		if container := item.(object); container["name"] == "istio-proxy" && len(probers) > 0 {
			table, _ := json.Marshal(probers)
			variable := object{"name": "ISTIO_KUBE_APP_PROBERS", "value": string(table)}
			container["env"] = addNamed(listOf(container, "env"), variable)
		}
	}
	spec["initContainers"] = proxies
	annotations, _ := metadata["annotations"].(object)
	if annotations == nil {
		annotations = object{}
	}
	annotations["sidecar.istio.io/status"] = `{"initContainers":["istio-proxy"]}`
	metadata["annotations"] = annotations
}

// addNamed appends an item unless the list has one of its name.
func addNamed(list objects, item object) objects {
	for _, other := range list {
		if other.(object)["name"] == item["name"] {
			return list
		}
	}
	return append(list, item)
}

func listOf(parent object, name string) objects {
	list, _ := parent[name].(objects)
	return list
}
