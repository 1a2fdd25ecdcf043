// Render prints what a chart's templates make of values, where Helm itself is not at hand.
//
// It knows what this project's chart uses of Helm: the template functions of sprig, include and
// toYaml, and the objects Values, Chart and Release. Building Helm takes minutes, this seconds; the
// tests ask both where Helm is installed, and they must agree.
//
//	render CHART VALUES RELEASE NAMESPACE
//
// A file is preceded by a line "# Source: NAME"; one that renders to nothing is left out.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"sigs.k8s.io/yaml"
)

type object = map[string]interface{}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 5 {
		log.Fatal("render CHART VALUES RELEASE NAMESPACE")
	}
	chart := os.Args[1]
	values := merge(read(filepath.Join(chart, "values.yaml")), read(os.Args[2]))
	said := read(filepath.Join(chart, "Chart.yaml"))
	scope := object{
		"Values": values,
		"Chart":  object{"Name": said["name"], "Version": said["version"], "AppVersion": said["appVersion"]},
		"Release": object{
			"Name": os.Args[3], "Namespace": os.Args[4], "Service": "Helm",
		},
	}
	if err := render(filepath.Join(chart, "templates"), scope); err != nil {
		log.Fatal(err)
	}
}

// read returns a YAML file as a map.
func read(path string) object {
	text, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	found := object{}
	if err := yaml.Unmarshal(text, &found); err != nil {
		log.Fatalf("%s: %v", path, err)
	}
	return found
}

// merge lays values over defaults: maps key by key, all else whole.
func merge(defaults, values object) object {
	for key, value := range values {
		under, isMap := defaults[key].(object)
		over, isToo := value.(object)
		if isMap && isToo {
			defaults[key] = merge(under, over)
		} else {
			defaults[key] = value
		}
	}
	return defaults
}

// render prints all manifests, in the order of their names.
func render(folder string, scope object) error {
	all := template.New("chart").Option("missingkey=zero")
	functions := sprig.TxtFuncMap()
	functions["toYaml"] = func(value interface{}) (string, error) {
		text, err := yaml.Marshal(value)
		return strings.TrimSuffix(string(text), "\n"), err
	}
	functions["include"] = func(name string, data interface{}) (string, error) {
		var text bytes.Buffer
		err := all.ExecuteTemplate(&text, name, data)
		return text.String(), err
	}
	all.Funcs(functions)

	names, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		return err
	}
	tests, err := filepath.Glob(filepath.Join(folder, "tests", "*.yaml"))
	if err != nil {
		return err
	}
	names = append(names, tests...)
	sort.Strings(names)
	var manifests []string
	for _, name := range names {
		if filepath.Ext(name) != ".yaml" && filepath.Ext(name) != ".tpl" {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := all.New(name).Parse(string(text)); err != nil {
			return err
		}
		if filepath.Ext(name) == ".yaml" {
			manifests = append(manifests, name)
		}
	}
	for _, name := range manifests {
		var text bytes.Buffer
		if err := all.ExecuteTemplate(&text, name, scope); err != nil {
			return err
		}
		if strings.TrimSpace(text.String()) != "" {
			fmt.Printf("---\n# Source: %s\n%s\n", filepath.Base(name), text.String())
		}
	}
	return nil
}
