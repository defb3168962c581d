// DESIGN.md explains the parts, the locks and the alternatives rejected.
package pipeline
