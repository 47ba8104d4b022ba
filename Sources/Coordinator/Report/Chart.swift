/// A drawing with two axes, as inline SVG with colours from the page's style.
struct Chart {
    /// Space around the plotting area.
    struct Margins {
        var top = 14.0
        var right = 16.0
        var bottom = 44.0
        var left = 68.0
    }

    let width: Double
    let height: Double
    let margins: Margins
    private var elements: [String] = []

    /// The left and right ends of the plotting area.
    var left: Double { margins.left }
    var right: Double { width - margins.right }
    /// The upper and lower ends of the plotting area.
    var top: Double { margins.top }
    var bottom: Double { height - margins.bottom }

    init(width: Double = 560, height: Double = 340, margins: Margins = Margins()) {
        self.width = width
        self.height = height
        self.margins = margins
    }

    /// The drawing. `title` describes it for people who cannot see it.
    func svg(title: String) -> String {
        """
        <svg viewBox="0 0 \(Self.place(width)) \(Self.place(height))" role="img" aria-label="\(Text.escaped(title))">
        \(elements.joined(separator: "\n"))
        </svg>
        """
    }

    /// Grid lines, tick labels and the axes' titles.
    mutating func axes(
        x: Scale, y: Scale, xTitle: String, yTitle: String, xTicks: Int = 6, yTicks: Int = 6,
        xLabel: ((Double) -> String)? = nil, yLabel: ((Double) -> String)? = nil
    ) {
        for tick in y.ticks(yTicks) {
            line(left, y(tick), right, y(tick), "grid")
            text(left - 8, y(tick) + 4, yLabel?(tick) ?? y.label(tick, yTicks), "tick", anchor: "end")
        }
        for tick in x.ticks(xTicks) {
            line(x(tick), bottom, x(tick), bottom + 4, "axis")
            text(x(tick), bottom + 18, xLabel?(tick) ?? x.label(tick, xTicks), "tick", anchor: "middle")
        }
        line(left, bottom, right, bottom, "axis")
        text((left + right) / 2, height - 6, xTitle, "title", anchor: "middle")
        verticalTitle(yTitle)
    }

    /// The title of the vertical axis, turned.
    mutating func verticalTitle(_ title: String) {
        let middle = (top + bottom) / 2
        elements.append(
            """
            <text class="title" text-anchor="middle" transform="translate(13 \(Self.place(middle))) rotate(-90)">\
            \(Text.escaped(title))</text>
            """)
    }

    mutating func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ style: String) {
        elements.append(
            """
            <line class="\(style)" x1="\(Self.place(x1))" y1="\(Self.place(y1))" x2="\(Self.place(x2))" \
            y2="\(Self.place(y2))"/>
            """)
    }

    mutating func circle(_ x: Double, _ y: Double, radius: Double, _ style: String, tip: String? = nil) {
        elements.append(
            "<circle class=\"\(style)\" cx=\"\(Self.place(x))\" cy=\"\(Self.place(y))\" r=\"\(Self.place(radius))\""
                + Self.closed("circle", tip: tip))
    }

    mutating func rectangle(
        x: Double, y: Double, width: Double, height: Double, _ style: String, opacity: Double? = nil,
        tip: String? = nil
    ) {
        let fill = opacity.map { " fill-opacity=\"\(Text.plain($0))\"" } ?? ""
        elements.append(
            """
            <rect class="\(style)" x="\(Self.place(x))" y="\(Self.place(y))" width="\(Self.place(max(width, 0)))" \
            height="\(Self.place(max(height, 0)))"\(fill)
            """ + Self.closed("rect", tip: tip))
    }

    mutating func text(_ x: Double, _ y: Double, _ content: String, _ style: String, anchor: String = "start") {
        elements.append(
            """
            <text class="\(style)" x="\(Self.place(x))" y="\(Self.place(y))" text-anchor="\(anchor)">\
            \(Text.escaped(content))</text>
            """)
    }

    /// A label below an axis, rotated so that its neighbours have room.
    mutating func slanted(_ x: Double, _ y: Double, _ content: String) {
        elements.append(
            """
            <text class="tick" text-anchor="end" transform="translate(\(Self.place(x)) \(Self.place(y))) rotate(-35)">\
            \(Text.escaped(content))</text>
            """)
    }

    /// A line through points. `color` replaces the style's stroke.
    mutating func path(_ points: [(Double, Double)], _ style: String, color: String? = nil, tip: String? = nil) {
        guard let first = points.first else { return }
        var data = "M\(Self.place(first.0)) \(Self.place(first.1))"
        for point in points.dropFirst() { data += "L\(Self.place(point.0)) \(Self.place(point.1))" }
        let stroke = color.map { " style=\"stroke:\($0)\"" } ?? ""
        elements.append("<path class=\"\(style)\"\(stroke) d=\"\(data)\"" + Self.closed("path", tip: tip))
    }

    /// An area between an upper and a lower line.
    mutating func area(_ upper: [(Double, Double)], _ lower: [(Double, Double)], _ style: String) {
        let outline = (upper + lower.reversed()).map { "\(Self.place($0.0)) \(Self.place($0.1))" }
        elements.append("<path class=\"\(style)\" d=\"M\(outline.joined(separator: "L"))Z\"/>")
    }

    private static func closed(_ name: String, tip: String?) -> String {
        tip.map { "><title>\(Text.escaped($0))</title></\(name)>" } ?? "/>"
    }

    /// A coordinate, short: a tenth of a unit is finer than a screen.
    private static func place(_ value: Double) -> String {
        guard value.isFinite else { return "0" }
        let tenths = (value * 10).rounded() / 10
        return tenths == tenths.rounded() ? String(Int(tenths)) : String(tenths)
    }
}
