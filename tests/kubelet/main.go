// kubelet's probers, called over a pipe.
//
// Reads requests from standard input and writes verdicts to standard output, one JSON object per line, in
// the order of completion. Requests use k8s.io/kubernetes/pkg/probe, so a verdict is that of the code that
// probes in production.
package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/component-base/version"
	"k8s.io/kubernetes/pkg/probe"
	grpcprober "k8s.io/kubernetes/pkg/probe/grpc"
	httpprober "k8s.io/kubernetes/pkg/probe/http"
	tcpprober "k8s.io/kubernetes/pkg/probe/tcp"
)

// probeAttempts is maxProbeRetries of pkg/kubelet/prober/prober.go: the maximum of attempts of a probe that
// returns an error. A failure is not an error and is final.
const probeAttempts = 3

// input is one input line.
type input struct {
	ID     uint64
	Kind   string // http, tcp, grpc or hook
	To     string // address and port; the address represents the pod's IP
	Scheme core.URIScheme
	// Protocol and Mode are the fields of the gates H2CContainerProbe and GRPCContainerProbeTLS.
	Protocol core.HTTPProtocol
	Mode     core.GRPCProbeMode
	Path     string
	Headers  [][2]string
	Service  string // grpc
	Seconds  int    // timeoutSeconds; also the timeout of a hook
}

// verdict is one output line.
type verdict struct {
	ID     uint64       `json:"id"`
	Result probe.Result `json:"result"`
	Text   string       `json:"text"`  // the text of the event
	Error  string       `json:"error"` // the error of the probe, which then does not count towards a threshold
}

// pod is the probe's target.
type pod struct {
	ip      string
	port    int
	timeout time.Duration
}

// Like kubelet, one prober of each kind for all workers.
var (
	overHTTP = httpprober.New(false)
	overTCP  = tcpprober.New()
	overGRPC = grpcprober.New()
)

// hooks is the client that kubelet.go passes to the lifecycle handlers: no timeout, persistent connections.
var hooks = http.Client{
	Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	CheckRedirect: httpprober.RedirectChecker(false),
}

func main() {
	if version.Get().Minor == "" {
		fmt.Fprintln(os.Stderr, "built without the linker flags of README.md: User-Agent would lack the version")
		os.Exit(2)
	}
	// Go's HTTP/2 client logs every unknown frame, and some apps send a million.
	log.SetOutput(io.Discard)
	in := bufio.NewReader(os.Stdin)
	var out sync.Mutex
	var open sync.WaitGroup
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			break
		}
		open.Go(func() {
			encoded, err := json.Marshal(probeLine(line))
			if err != nil {
				panic(err) // cannot fail: strings and a number
			}
			out.Lock()
			defer out.Unlock()
			if _, err := os.Stdout.Write(append(encoded, '\n')); err != nil {
				os.Exit(1) // the reader is gone
			}
		})
	}
	open.Wait()
}

func probeLine(line []byte) verdict {
	var q input
	decoder := json.NewDecoder(strings.NewReader(string(line)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&q); err != nil {
		return verdict{Result: probe.Unknown, Error: "invalid input: " + err.Error()}
	}
	a := verdict{ID: q.ID}
	p, err := q.pod()
	if err != nil {
		a.Result, a.Error = probe.Unknown, "invalid input: "+err.Error()
		return a
	}
	if q.Kind == "hook" {
		a.Result, a.Error = q.hook(p)
		return a
	}
	for range probeAttempts {
		a.Result, a.Text, err = q.probe(p)
		if err == nil {
			a.Error = ""
			break
		}
		a.Error = err.Error()
	}
	return a
}

func (q input) pod() (pod, error) {
	ip, port, err := net.SplitHostPort(q.To)
	if err != nil {
		return pod{}, err
	}
	number, err := strconv.Atoi(port)
	seconds := cmp.Or(q.Seconds, 1)
	return pod{ip, number, time.Duration(seconds) * time.Second}, err
}

// probe is one attempt, as runProbe of pkg/kubelet/prober/prober.go makes it.
func (q input) probe(p pod) (probe.Result, string, error) {
	switch q.Kind {
	case "http":
		request, err := q.request(p, "probe")
		if err != nil {
			return probe.Unknown, "", err
		}
		if q.Protocol == core.HTTPProtocolHTTP2 {
			return overHTTP.ProbeH2C(request, p.timeout)
		}
		return overHTTP.Probe(request, p.timeout)
	case "tcp":
		return overTCP.Probe(p.ip, p.port, p.timeout)
	case "grpc":
		options := grpcprober.ProbeOptions{UseTLS: q.Mode == core.GRPCProbeModeTLS}
		return overGRPC.Probe(p.ip, q.Service, p.port, p.timeout, options)
	}
	return probe.Unknown, "", fmt.Errorf("invalid input: kind %q", q.Kind)
}

// request is the request of an httpGet.
func (q input) request(p pod, agent string) (*http.Request, error) {
	get := core.HTTPGetAction{Path: q.Path, Port: intstr.FromInt(p.port), Scheme: q.Scheme}
	for _, h := range q.Headers {
		get.HTTPHeaders = append(get.HTTPHeaders, core.HTTPHeader{Name: h[0], Value: h[1]})
	}
	return httpprober.NewRequestForHTTPGetAction(&get, &core.Container{}, p.ip, agent)
}

// hook does what runHTTPHandler of pkg/kubelet/lifecycle/handlers.go does: any response is a success, and an
// HTTPS hook that gets a response in HTTP is sent again in HTTP. Importing that package would triple the build
// time. kubelet sets no deadline; the timeout closes the connection like kubelet at the end of the grace period.
func (q input) hook(p pod) (probe.Result, string) {
	within, cancel := context.WithTimeout(context.Background(), p.timeout)
	defer cancel()
	request, err := q.request(p, "lifecycle")
	if err != nil {
		return probe.Failure, err.Error()
	}
	request = request.WithContext(within)
	err = send(request)
	if failed, ok := err.(*url.Error); ok && strings.Contains(failed.Err.Error(), "HTTP response to HTTPS client") {
		again := request.Clone(within)
		again.URL.Scheme = "http"
		again.Header.Del("Authorization")
		if send(again) == nil {
			err = nil
		}
	}
	if within.Err() != nil {
		return probe.Unknown, "given up: kubelet would keep waiting"
	}
	if err != nil {
		return probe.Failure, err.Error()
	}
	return probe.Success, ""
}

// send sends the request once and reads a short body. kubelet ignores errors in the body.
func send(request *http.Request) error {
	response, err := hooks.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	const shortBody = 10 << 10
	if response.ContentLength <= shortBody {
		_, _ = io.CopyN(io.Discard, response.Body, shortBody)
	}
	return nil
}
