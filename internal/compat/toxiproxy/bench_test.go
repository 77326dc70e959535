package toxiproxy

import (
	"context"
	"fmt"
	"testing"
)

func BenchmarkCreate(b *testing.B) {
	s := newStage(b, nil)
	ctx := context.Background()
	n := 0
	for b.Loop() {
		name := fmt.Sprint("p", n)
		if _, err := s.create(ctx, []byte(`{"name":"`+name+`","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}`)); err != nil {
			b.Fatal(err)
		}
		if n++; n%1000 == 0 {
			b.StopTimer()
			for i := n - 1000; i < n; i++ {
				if err := s.remove(ctx, fmt.Sprint("p", i)); err != nil {
					b.Fatal(err)
				}
			}
			b.StartTimer()
		}
	}
}

func BenchmarkPopulate(b *testing.B) {
	s := newStage(b, nil)
	ctx := context.Background()
	text := []byte{'['}
	const many = 1000
	for i := range many {
		if i > 0 {
			text = append(text, ',')
		}
		text = fmt.Appendf(text, `{"name":"p%d","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}`, i)
	}
	text = append(text, ']')
	for b.Loop() {
		if _, err := s.populate(ctx, text); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		for i := range many {
			if err := s.remove(ctx, fmt.Sprint("p", i)); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
	}
}

func BenchmarkToxic(b *testing.B) {
	s := newStage(b, nil)
	ctx := context.Background()
	if _, err := s.create(ctx, []byte(`{"name":"p","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}`)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.addToxic(ctx, "p", []byte(`{"type":"latency","attributes":{"latency":10}}`)); err != nil {
			b.Fatal(err)
		}
		if err := s.removeToxic(ctx, "p", "latency_downstream"); err != nil {
			b.Fatal(err)
		}
	}
}
