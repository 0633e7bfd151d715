// An app on Go's net/http, which many apps of a cluster use: over TLS with HTTP/2 or without, with a required
// client certificate, and in plaintext with HTTP/2 and HTTP/1.
//
// The argument is a folder with app.pem, app.key and ca.pem. Prints its ports as one line of JSON and serves
// until its standard input ends.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(os.Args[1], name))
		if err != nil {
			log.Fatal(err)
		}
		return data
	}
	pair, err := tls.X509KeyPair(read("app.pem"), read("app.key"))
	if err != nil {
		log.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(read("ca.pem"))
	pairs := []tls.Certificate{pair}
	demanding := &tls.Config{Certificates: pairs, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert}

	var first, both http.Protocols
	first.SetHTTP1(true)
	both.SetHTTP1(true)
	both.SetHTTP2(true)
	both.SetUnencryptedHTTP2(true)
	ports := map[string]int{
		"tls":    serve(both, &tls.Config{Certificates: pairs}),
		"tls1":   serve(first, &tls.Config{Certificates: pairs}),
		"mutual": serve(both, demanding),
		"plain":  serve(both, nil),
	}
	if err := json.NewEncoder(os.Stdout).Encode(ports); err != nil {
		log.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func serve(protocols http.Protocols, config *tls.Config) int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		Handler:   http.HandlerFunc(answer),
		Protocols: &protocols,
		TLSConfig: config,
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	go func() {
		if config != nil {
			log.Fatal(server.ServeTLS(listener, "", ""))
		}
		log.Fatal(server.Serve(listener))
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

// answer responds as the last segment of the path says.
func answer(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; path[strings.LastIndex(path, "-")+1:] {
	case "broken":
		w.WriteHeader(http.StatusInternalServerError)
	case "nothing":
		w.WriteHeader(http.StatusNoContent)
	case "redirect":
		http.Redirect(w, r, "/go-fine?from=redirect", http.StatusFound)
	case "hints":
		w.Header().Set("Link", "</x>")
		w.WriteHeader(http.StatusEarlyHints)
	case "fields":
		w.Header().Set("X-Long", strings.Repeat("y", 100_000))
	case "long":
		_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
	case "aborts":
		w.Header().Set("Content-Length", "9")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "protocol":
		_, _ = io.WriteString(w, r.Proto)
	case "echo":
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	case "never":
		select {
		case <-r.Context().Done():
		case <-time.After(time.Minute):
		}
	default:
		_, _ = io.WriteString(w, "fine")
	}
}
