/// A self-contained HTML page.
struct Page {
    let title: String
    private var parts: [String] = []

    init(title: String) { self.title = title }

    /// The whole file.
    var html: String {
        """
        <!DOCTYPE html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>\(Text.escaped(title))</title>
        <style>
        \(ReportStyle.css)
        </style>
        </head>
        <body>
        <main>
        \(parts.joined(separator: "\n"))
        </main>
        <script>
        \(ReportStyle.script)
        </script>
        </body>
        </html>

        """
    }

    /// Adds HTML as it is.
    mutating func add(_ html: String) { parts.append(html) }

    mutating func heading(_ text: String) { add("<h2>\(Text.escaped(text))</h2>") }

    /// A command to copy.
    mutating func code(_ text: String) { add("<pre><code>\(Text.escaped(text))</code></pre>") }

    /// A collapsed part.
    mutating func folded(_ title: String, _ content: (inout Page) -> Void) {
        var inner = Page(title: title)
        content(&inner)
        add("<details><summary>\(Text.escaped(title))</summary>\n\(inner.parts.joined(separator: "\n"))\n</details>")
    }

    mutating func paragraph(_ text: String, _ style: String = "") {
        let attribute = style.isEmpty ? "" : " class=\"\(style)\""
        add("<p\(attribute)>\(Text.escaped(text))</p>")
    }

    /// Key figures: values and their labels.
    mutating func tiles(_ tiles: [(value: String, name: String)]) {
        let cells = tiles.map { "<div><b>\(Text.escaped($0.value))</b><span>\(Text.escaped($0.name))</span></div>" }
        add("<div class=\"tiles\">\(cells.joined(separator: "\n"))</div>")
    }

    mutating func figure(_ svg: String, caption: String, isWide: Bool = false) {
        add(Self.figure(svg, caption: caption, isWide: isWide))
    }

    static func figure(_ svg: String, caption: String, isWide: Bool = false) -> String {
        let drawing = isWide ? "<div class=\"wide\">\(svg)</div>" : svg
        return "<figure>\(drawing)<figcaption>\(Text.escaped(caption))</figcaption></figure>"
    }

    /// Two parts side by side if there is room.
    mutating func pair(_ left: String, _ right: String) {
        add("<div class=\"pair\"><div>\(left)</div><div>\(right)</div></div>")
    }

    /// Names and values.
    mutating func definitions(_ entries: [(name: String, value: String, isCode: Bool)]) {
        let rows = entries.map { entry in
            let value = Text.escaped(entry.value)
            return "<dt>\(Text.escaped(entry.name))</dt><dd>\(entry.isCode ? "<code>\(value)</code>" : value)</dd>"
        }
        add("<dl>\(rows.joined(separator: "\n"))</dl>")
    }

    mutating func table(_ table: Table) { add(table.html) }
}

/// A table, which may sort by its columns and filter its rows.
struct Table {
    struct Column {
        let title: String
        /// Names are on the left, numbers on the right.
        var isName = false
    }

    struct Cell {
        let text: String
        /// The column's sort key, if not the text.
        var value: Double?
    }

    let columns: [Column]
    var rows: [[Cell]] = []
    /// The element's name, for a table with a filter field.
    var name: String?
    var sorts = true

    var html: String {
        let head = columns.map { column in
            "<th scope=\"col\"\(column.isName ? " class=\"name\"" : "")>\(Text.escaped(column.title))</th>"
        }
        let body = rows.map { row in
            let cells = zip(columns, row).map { column, cell in
                let style = column.isName ? " class=\"name\"" : ""
                let value = cell.value.map { $0.isFinite ? " data-value=\"\($0)\"" : "" } ?? ""
                return "<td\(style)\(value)>\(Text.escaped(cell.text))</td>"
            }
            return "<tr>\(cells.joined())</tr>"
        }
        let attributes = (sorts ? " class=\"sorts\"" : "") + (name.map { " id=\"\($0)\"" } ?? "")
        let table =
            "<table\(attributes)><thead><tr>\(head.joined())</tr></thead><tbody>\n\(body.joined(separator: "\n"))\n"
            + "</tbody></table>"
        guard let name else { return "<div class=\"wide\">\(table)</div>" }
        return """
            <input class="filter" type="search" hidden data-table="\(name)" placeholder="Filter rows: layer3 conv1" \
            aria-label="Filter rows">
            <div class="scroll">\(table)</div>
            """
    }
}
