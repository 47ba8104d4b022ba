import Foundation

/// ln Σ eˣ, with the C library's functions.
func logSum(_ values: [Double]) -> Double { log(values.reduce(0) { $0 + exp($1) }) }
