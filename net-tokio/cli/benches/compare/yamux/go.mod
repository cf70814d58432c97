module watertight.invalid/compare

go 1.27.3

require github.com/hashicorp/yamux v0.1.2
