// Command app is the test app that the cluster's probes are sent to, and two helpers of the test in the same program:
//
//	app [FLAGS]         the test app
//	app pause           keeps the namespaces of a pod (the pause image)
//	app mutate [FLAGS]  a second mutating webhook
//
// The test app listens where its flags say and answers /foo with a configurable status code:
//
//	-http :8001       plaintext HTTP; every listener flag can be repeated
//	-https :8443      HTTPS; tls.crt and tls.key of -tls-dir
//	-mtls :8001       HTTPS that requires a client certificate signed by ca.crt of -tls-dir
//	-grpc :50051      grpc.health.v1.Health
//	-control :9000    /set?code=500&hang=30 sets the status code and a delay of /foo, /set resets both
//	-delay 10s        listen only after this time
//	-grace 2s         keep running for this time after SIGTERM
//
// /drain?s=3 responds after three seconds. Requests, changes and SIGTERM are logged.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

func main() {
	log.SetFlags(log.Lmicroseconds)
	command := ""
	if len(os.Args) > 1 {
		command = os.Args[1]
	}
	switch command {
	case "pause":
		waitForSIGTERM()
	case "mutate":
		runMutatingWebhook(os.Args[2:])
	default:
		runApp()
	}
}

func runApp() {
	var plain, secure, mutual, rpc addresses
	flag.Var(&plain, "http", "address of a plaintext HTTP listener")
	flag.Var(&secure, "https", "address of an HTTPS listener")
	flag.Var(&mutual, "mtls", "address of an HTTPS listener that requires a client certificate")
	flag.Var(&rpc, "grpc", "address of a gRPC health service")
	control := flag.String("control", "", "address of the control listener")
	delay := flag.Duration("delay", 0, "listen only after this time")
	grace := flag.Duration("grace", 0, "keep running for this time after SIGTERM")
	dir := flag.String("tls-dir", "/tls", "folder with tls.crt, tls.key and ca.crt")
	flag.Parse()

	app := newTestApp()
	if *control != "" {
		go serve(listen(*control), app.controlHandler())
	}
	time.Sleep(*delay)
	for _, address := range plain {
		go serve(listen(address), app.handler())
	}
	for _, address := range secure {
		go serve(tls.NewListener(listen(address), serverTLS(*dir)), app.handler())
	}
	for _, address := range mutual {
		go serve(tls.NewListener(listen(address), mutualTLS(*dir)), app.handler())
	}
	for _, address := range rpc {
		go serveHealth(listen(address), app.health)
	}
	log.Print("listening")
	waitForSIGTERM()
	log.Print("SIGTERM")
	time.Sleep(*grace)
	log.Print("exit")
}

// testApp is what /foo and the gRPC health service answer.
type testApp struct {
	code, hang atomic.Int64
	health     *health.Server
}

func newTestApp() *testApp {
	app := &testApp{health: health.NewServer()}
	app.code.Store(http.StatusOK)
	return app
}

func (app *testApp) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/foo", app.answer)
	mux.HandleFunc("/drain", drain)
	return mux
}

func (app *testApp) answer(w http.ResponseWriter, r *http.Request) {
	log.Printf("request %s from %s, %s", r.URL.Path, r.RemoteAddr, r.UserAgent())
	select {
	case <-time.After(time.Duration(app.hang.Load()) * time.Second):
	case <-r.Context().Done():
	}
	w.WriteHeader(int(app.code.Load()))
	fmt.Fprintln(w, "answer")
}

func drain(w http.ResponseWriter, r *http.Request) {
	log.Printf("drain begins, from %s, %s", r.RemoteAddr, r.UserAgent())
	time.Sleep(time.Duration(number(r, "s", 0)) * time.Second)
	log.Print("drain ends")
	fmt.Fprintln(w, "drained")
}

func (app *testApp) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/set", func(w http.ResponseWriter, r *http.Request) {
		code := number(r, "code", http.StatusOK)
		app.code.Store(int64(code))
		app.hang.Store(int64(number(r, "hang", 0)))
		status := healthpb.HealthCheckResponse_SERVING
		if code != http.StatusOK {
			status = healthpb.HealthCheckResponse_NOT_SERVING
		}
		app.health.SetServingStatus("", status)
		log.Printf("set %s", r.URL.RawQuery)
	})
	return mux
}

// number reads an integer of the query, or returns the default.
func number(r *http.Request, name string, otherwise int) int {
	value, err := strconv.Atoi(r.URL.Query().Get(name))
	if err != nil {
		return otherwise
	}
	return value
}

func serve(listener net.Listener, handler http.Handler) {
	log.Fatal(http.Serve(listener, handler))
}

func serveHealth(listener net.Listener, service healthpb.HealthServer) {
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, service)
	log.Fatal(server.Serve(listener))
}

func listen(address string) net.Listener {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

func serverTLS(dir string) *tls.Config {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		log.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
}

func mutualTLS(dir string) *tls.Config {
	config := serverTLS(dir)
	ca, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		log.Fatal(err)
	}
	config.ClientCAs = x509.NewCertPool()
	config.ClientCAs.AppendCertsFromPEM(ca)
	config.ClientAuth = tls.RequireAndVerifyClientCert
	return config
}

func waitForSIGTERM() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	<-ctx.Done()
}

// addresses is a flag that can be repeated.
type addresses []string

func (a *addresses) String() string { return fmt.Sprint(*a) }

func (a *addresses) Set(value string) error {
	*a = append(*a, value)
	return nil
}
