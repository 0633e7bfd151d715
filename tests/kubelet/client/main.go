// A client on Go's crypto/tls and net/http with a client certificate, in TLS 1.2 and 1.3.
//
// client FOLDER http|stream PORT, where FOLDER has web.pem, web.key and ca.pem. Prints a line for each version, and
// exits with code 1 at the first failure.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

const (
	requests   = 300
	streams    = 8
	bodyBytes  = 4 << 20
	totalBytes = 16 << 20
)

func main() {
	log.SetFlags(0)
	folder, address := os.Args[1], "127.0.0.1:"+os.Args[3]
	run := map[string]func(string, *tls.Config) (string, error){"http": overHTTP, "stream": stream}[os.Args[2]]
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		result, err := run(address, config(folder, version))
		if err != nil {
			log.Fatalf("%s: %v", tls.VersionName(version), err)
		}
		fmt.Printf("%s: %s\n", tls.VersionName(version), result)
	}
}

func config(folder string, version uint16) *tls.Config {
	file := func(name string) string { return filepath.Join(folder, name) }
	pair, err := tls.LoadX509KeyPair(file("web.pem"), file("web.key"))
	if err != nil {
		log.Fatal(err)
	}
	pem, err := os.ReadFile(file("ca.pem"))
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{
		Certificates: []tls.Certificate{pair},
		RootCAs:      roots,
		ServerName:   "server.test",
		MinVersion:   version,
		MaxVersion:   version,
		// Go then offers to resume sessions.
		ClientSessionCache: tls.NewLRUClientSessionCache(8),
	}
}

// overHTTP sends many requests on one connection, and large bodies both ways at once, in HTTP/1.1 and HTTP/2.
func overHTTP(address string, config *tls.Config) (string, error) {
	var first, second http.Protocols
	first.SetHTTP1(true)
	second.SetHTTP2(true)
	for name, protocols := range map[string]*http.Protocols{"HTTP/1.1": &first, "HTTP/2.0": &second} {
		var connections atomic.Int32
		transport := &http.Transport{
			TLSClientConfig: config.Clone(),
			Protocols:       protocols,
			DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
				connections.Add(1)
				return new(net.Dialer).DialContext(ctx, network, to)
			},
		}
		client := &http.Client{Transport: transport, Timeout: time.Minute}
		for range requests {
			body, err := exchange(client, http.MethodGet, "https://"+address+"/go-protocol", nil)
			if err != nil {
				return "", fmt.Errorf("%s: %w", name, err)
			}
			if string(body) != name {
				return "", fmt.Errorf("%s instead of %s", body, name)
			}
		}
		if count := connections.Load(); count != 1 {
			return "", fmt.Errorf("%s: %d connections", name, count)
		}
		results := make(chan error, streams)
		for range streams {
			go func() { results <- echo(client, address) }()
		}
		for range streams {
			if err := <-results; err != nil {
				return "", fmt.Errorf("%s: %w", name, err)
			}
		}
		transport.CloseIdleConnections()
	}
	return "HTTP/1.1 and HTTP/2.0", nil
}

func exchange(client *http.Client, method, url string, body io.Reader) ([]byte, error) {
	request, err := http.NewRequest(method, url, body)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(response.Status)
	}
	return io.ReadAll(response.Body)
}

func echo(client *http.Client, address string) error {
	sent := random(bodyBytes)
	received, err := exchange(client, http.MethodPost, "https://"+address+"/go-echo", bytes.NewReader(sent))
	if err == nil && !bytes.Equal(sent, received) {
		err = fmt.Errorf("%d other bytes", len(received))
	}
	return err
}

func random(length int) []byte {
	data := make([]byte, length)
	_, _ = rand.Read(data)
	return data
}

// stream ends one direction of a connection before the other: the client first, then the app. Nothing is resumed.
func stream(address string, config *tls.Config) (string, error) {
	err := open(address, config, func(connection *tls.Conn) error {
		sent := append([]byte("echo"), random(totalBytes)...)
		writing := make(chan error, 1)
		go func() {
			_, err := connection.Write(sent)
			writing <- errors.Join(err, connection.CloseWrite())
		}()
		received, err := io.ReadAll(connection)
		if err := errors.Join(err, <-writing); err != nil {
			return err
		}
		if !bytes.Equal(sent, received) {
			return fmt.Errorf("%d other bytes", len(received))
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("the client ends first: %w", err)
	}
	err = open(address, config, func(connection *tls.Conn) error {
		if _, err := io.WriteString(connection, "ends"); err != nil {
			return err
		}
		if received, err := io.ReadAll(connection); err != nil || string(received) != "ends" {
			return fmt.Errorf("%q: %w", received, err)
		}
		if _, err := connection.Write(random(totalBytes)); err != nil {
			return err
		}
		return connection.CloseWrite()
	})
	if err != nil {
		return "", fmt.Errorf("the app ends first: %w", err)
	}
	return "half-closed", nil
}

func open(address string, config *tls.Config, use func(*tls.Conn) error) error {
	connection, err := tls.Dial("tcp", address, config)
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	if connection.ConnectionState().DidResume {
		return errors.New("the session is resumed")
	}
	return use(connection)
}
