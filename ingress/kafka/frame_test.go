package kafka

import "testing"

// A buffer holds what was requested and little more, and every buffer returns to the class it
// came from.
func TestFrameClasses(t *testing.T) {
	last, lastSize := -1, 0
	for n := 1; n <= maxFrame; n += 1 + n/97 {
		class, size := frameClass(n)
		if size < n || n > minFrame && size > n+n/4+1 {
			t.Fatalf("%d bytes get %d", n, size)
		}
		if class < last || class > last+1 || class >= classes || size < lastSize {
			t.Fatalf("%d bytes: class %d after %d, size %d after %d", n, class, last, size, lastSize)
		}
		if again, same := frameClass(size); again != class || same != size {
			t.Fatalf("%d bytes: class %d of %d bytes comes back to class %d of %d", n, class, size, again, same)
		}
		last, lastSize = class, size
	}
	if class, size := frameClass(maxFrame); class != classes-1 || size != maxFrame {
		t.Errorf("the largest is class %d of %d bytes", class, size)
	}
	if class, size := frameClass(maxFrame + 1); class != classes || size != maxFrame+1 {
		t.Errorf("above the largest: class %d of %d bytes", class, size)
	}
	var f frames
	b := f.get(5000)
	if len(*b) != 5000 || cap(*b) != 5120 {
		t.Errorf("%d of %d bytes", len(*b), cap(*b))
	}
	f.put(b)
}
