//go:build clients

package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// cache returns the directory for installed packages of a language. It is kept between runs and is not
// part of the repository.
func cache(t *testing.T, name string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", ".cache", "clients", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// need skips a test if a tool is missing. In CI, which has all of them, it fails the test instead.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed", tool)
		}
		t.Skipf("NOT RUN: %s is not installed", tool)
	}
}

// Sarama, segmentio/kafka-go and confluent-kafka-go.
func TestClientsInGo(t *testing.T) {
	need(t, "gcc") // for librdkafka
	b := newBroker(t)
	t.Log(b.must("", "go", "-C", "compat", "test", "-count=1", "-v", "-timeout", "110s", "./..."))
}

// confluent-kafka, kafka-python and aiokafka.
func TestClientsInPython(t *testing.T) {
	need(t, "python3")
	b := newBroker(t)
	dir := cache(t, "python")
	python := filepath.Join(dir, "bin", "python")
	if _, err := os.Stat(python); err != nil {
		b.must("", "python3", "-m", "venv", dir)
	}
	b.must("", python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", filepath.Join("python", "requirements.txt"))
	for _, client := range []string{"confluent", "kafkapython", "aiokafka"} {
		t.Run(client, func(t *testing.T) {
			t.Log(b.must("", python, filepath.Join("python", "client.py"), client))
		})
	}
}

// kafkajs.
func TestClientInJavaScript(t *testing.T) {
	need(t, "node", "npm")
	b := newBroker(t)
	dir := cache(t, "node")
	for _, name := range []string{"package.json", "package-lock.json", "client.js"} {
		copyFile(t, filepath.Join("node", name), filepath.Join(dir, name))
	}
	b.must("", "npm", "ci", "--prefix", dir, "--no-audit", "--no-fund", "--silent")
	t.Log(b.must("", "node", filepath.Join(dir, "client.js")))
}

// Apache Kafka's own Java client.
func TestClientInJava(t *testing.T) {
	need(t, "java", "mvn")
	b := newBroker(t)
	dir := cache(t, "java")
	b.must("", "mvn", "-q", "-B", "-f", filepath.Join("java", "pom.xml"), "dependency:copy-dependencies", "-DoutputDirectory="+dir)
	t.Log(b.must("", "java", "-cp", filepath.Join(dir, "*"), filepath.Join("java", "Client.java")))
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
