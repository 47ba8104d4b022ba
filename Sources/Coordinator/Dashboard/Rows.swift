/// Table rows made on demand, so the coordinator's loop need not make thousands of which a reader sees few.
struct Rows<Row: Sendable>: RandomAccessCollection, Sendable {
    private let row: @Sendable (Int) -> Row
    let endIndex: Int

    /// Rows made by `row`, by their numbers from 0.
    init(count: Int, _ row: @escaping @Sendable (Int) -> Row) {
        endIndex = count
        self.row = row
    }

    /// Rows that there are already.
    init(_ rows: [Row]) { self.init(count: rows.count) { rows[$0] } }

    var startIndex: Int { 0 }

    subscript(position: Int) -> Row {
        precondition(indices.contains(position), "no such row")
        return row(position)
    }
}
