package kafka

import (
	"fmt"
	"strconv"
	"strings"
)

// schema describes the layout of a request, so that it can be validated before it is decoded.
// The text form has one word per field:
//
//	i1 i2 i4 i8  integers      b  boolean      u  UUID
//	s  string, nullable or not     y  bytes or records, nullable or not
//	*x array of the primitive x
//	[ ... ]      array of structs      ( ... )  nullable struct
//
// A suffix gives the versions that have the field: x@3-5, x@3-, x@-2. In flexible versions
// lengths are compact and every struct ends with tags (KIP-482).
type schema struct {
	flexible int16 // first flexible version
	fields   []field
}

type field struct {
	size     int // in bytes, or one of the two below
	array    bool
	optional bool    // a nullable struct
	elements []field // of a struct or an array of structs
	from, to int16
	memory   int // of one decoded array element
}

// memoryOf returns the decoded size of a field without its text: at most that of its Go type,
// pointer or not.
func memoryOf(f *field) int {
	switch {
	case f.array, f.optional:
		return 24
	case f.size == sizeString:
		return 24
	case f.size == sizeBytes:
		return 24
	}
	return max(8, f.size)
}

// Sizes of length-prefixed fields.
const (
	sizeString = 0  // two-byte length
	sizeBytes  = -1 // four-byte length
)

const noVersion = int16(1<<15 - 1)

// schemas holds the schema of every supported request.
var schemas = map[int16]schema{
	0:  parse(9, "s@3- i2 i4 [ s@-12 u@13- [ i4 y ] ]"),
	1:  parse(12, "i4@-14 i4 i4 i4@3- i1@4- i4@7- i4@7- [ s@-12 u@13- [ i4 i4@9- i8 i4@12- i8@5- i4 ] ] [ s@-12 u@13- *i4 ]@7- s@11-"),
	2:  parse(6, "i4 i1@2- [ s [ i4 i4@4- i8 i4@-0 ] ] i4@10-"),
	3:  parse(9, "[ u@10- s ] b@4- b@8-10 b@8-"),
	8:  parse(8, "s i4@1- s@1- s@7- i8@2-4 [ s@-9 u@10- [ i4 i8 i8@1-1 i4@6- s ] ]"),
	9:  parse(6, "s@-7 [ s *i4 ]@-7 [ s s@9- i4@9- [ s@-9 u@10- *i4 ] ]@8- b@7-"),
	10: parse(3, "s@-3 i1@1- *s@4-"),
	11: parse(6, "s i4 i4@1- s s@5- s [ s y ] s@8-"),
	12: parse(4, "s i4 s s@3-"),
	13: parse(4, "s s@-2 [ s s s@5- ]@3-"),
	14: parse(4, "s i4 s s@3- s@5- s@5- [ s y ]"),
	15: parse(5, "*s b@3-"),
	16: parse(3, "*s@4- *s@5-"),
	17: parse(noVersion, "s"),
	18: parse(3, "s@3- s@3- s@5- i4@5-"),
	19: parse(5, "[ s i4 i2 [ i4 *i4 ] [ s s ] ] i4 b@1-"),
	20: parse(4, "[ s u ]@6- *s@-5 i4"),
	21: parse(2, "[ s [ i4 i8 ] ] i4"),
	22: parse(2, "s i4 i8@3- i2@3-"),
	23: parse(4, "i4@3- [ s [ i4 i4@2- i4 ] ]"),
	29: parse(2, "i1 s i1@1- s s i1 i1"),
	30: parse(2, "[ i1 s i1@1- s s i1 i1 ]"),
	31: parse(2, "[ i1 s i1@1- s s i1 i1 ]"),
	32: parse(4, "[ i1 s *s ] b@1- b@3-"),
	33: parse(2, "[ i1 s [ s s ] ] b"),
	35: parse(2, "[ s *i4 ]"),
	36: parse(2, "y"),
	37: parse(2, "[ s i4 [ *i4 ] ] i4 b"),
	42: parse(2, "*s"),
	43: parse(2, "i1@1- [ s *i4 ] i4"),
	44: parse(1, "[ i1 s [ s i1 s ] ] b"),
	45: parse(0, "i4 b@1- [ s [ i4 *i4 ] ]"),
	46: parse(0, "i4 [ s *i4 ]"),
	47: parse(noVersion, "s [ s [ i4 ] ]"),
	48: parse(1, "[ s i1 s ] b"),
	49: parse(1, "[ [ s s ] [ s i8 b ] ] b"),
	50: parse(0, "[ s ]"),
	51: parse(0, "[ s i1 ] [ s i1 i4 y y ]"),
	55: parse(0, "[ s [ i4 ] ]"),
	57: parse(0, "i4 [ s i2 b@-0 i1@1- ] b@1-"),
	60: parse(0, "b i1@1- b@2-"),
	61: parse(0, "[ s *i4 ]"),
	64: parse(0, "i4"),
	65: parse(0, "*s"),
	66: parse(0, "*s *i8 i8@1- s@2-"),
	74: parse(0, "*i1@1-"),
	75: parse(0, "[ s ] i4 ( s i4 )"),
}

func parse(flexible int16, text string) schema {
	words := strings.Fields(text)
	fields, rest := parseFields(words)
	if len(rest) > 0 {
		panic(fmt.Sprintf("kafka: schema %q: unexpected %q", text, rest[0]))
	}
	return schema{flexible, fields}
}

func parseFields(words []string) (fields []field, rest []string) {
	for len(words) > 0 && !strings.HasPrefix(words[0], "]") && !strings.HasPrefix(words[0], ")") {
		word, versions, _ := strings.Cut(words[0], "@")
		words = words[1:]
		var f field
		switch {
		case word == "[", word == "(":
			f.array, f.optional = word == "[", word == "("
			f.elements, words = parseFields(words)
			_, versions, _ = strings.Cut(words[0], "@")
			words = words[1:]
		case word[0] == '*':
			f.array, f.size = true, sizeOf(word[1:])
		default:
			f.size = sizeOf(word)
		}
		f.from, f.to = parseVersions(versions)
		f.memory = max(f.size, 16)
		if f.elements != nil {
			f.memory = 8 // the tags
			for i := range f.elements {
				f.memory += memoryOf(&f.elements[i])
			}
		}
		fields = append(fields, f)
	}
	return fields, words
}

func sizeOf(word string) int {
	switch word {
	case "s":
		return sizeString
	case "y":
		return sizeBytes
	case "b":
		return 1
	case "u":
		return 16
	}
	n, err := strconv.Atoi(strings.TrimPrefix(word, "i"))
	if err != nil {
		panic(fmt.Sprintf("kafka: unknown schema word %q", word))
	}
	return n
}

func parseVersions(text string) (from, to int16) {
	to = noVersion
	lo, hi, ranged := strings.Cut(text, "-")
	if !ranged {
		return 0, to
	}
	if n, err := strconv.Atoi(lo); err == nil {
		from = int16(n)
	}
	if n, err := strconv.Atoi(hi); err == nil {
		to = int16(n)
	}
	return from, to
}
