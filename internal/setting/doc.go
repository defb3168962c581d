// Package setting reads what a setting is from the field that holds it, so that key, default,
// bounds and what it does are stated once, in the Config of the package that uses it:
//
//	// With fewer writes in flight than this, the next one starts immediately.
//	EagerGroups int64 `toml:"eager_groups" default:"4" range:"1..1Mi" live:"write/batch"`
//
// The file's tables, its defaults, its validation, the reference files and the limits of running
// stages follow from such fields. The tags are:
//
//	toml     the key. On a struct it names a table; the settings of a struct without it
//	         belong to the table around it. A field without it is no setting.
//	default  the value where nothing else is said: 4, 256Ki, 1Gi, 30s, 7d, true. Whole numbers,
//	         times and fractions must have one; it is false and empty for the others. On a table
//	         it has the defaults of settings that several tables share: depth=64,workers=2.
//	range    LEAST..MOST, both included. What is left out is a bound of the unit; see [Field.Bounds].
//	oneof    the values of a string, or of the elements of a [List], as in a|b.
//	live     GRAPH/STAGE of the running stage that takes a new value at once, under the key or,
//	         with GRAPH/STAGE/NAME, under another name. Without a / it is a part of the
//	         process, and "." is the stage that the live tag of the table names. Everything
//	         else takes a restart.
//
// The default of a [List] is like a,b. A [time.Duration] is a whole number in the file, of the unit in which its key ends: _ms or _us.
//
// Rules between settings are Go: a Config has a Validate that calls [Check] and adds them
// with a [Problems]. Errors name the keys, with the tables before them where the Config is a part
// of a file. A wrong tag is an error of [Verify], and everything else panics on it.
package setting
