/// What the parser needs to know about a declared property.
protocol Declaration: AnyObject {
    var help: String { get }
    /// The name in `--name`, if it differs from the property's.
    var givenName: String? { get }
    /// The placeholder of its value in the help; nil for a flag.
    var valueName: String? { get }
    var isPositional: Bool { get }
    var isRequired: Bool { get }
    /// Whether another value may still be given.
    var accepts: Bool { get }
    /// Its default as the help shows it.
    var defaultText: String? { get }
    /// Parses a value; false if it is not of the type.
    func take(_ word: String) -> Bool
    /// The parsed value as written; an empty text for a flag.
    var words: [String] { get }
    var expectation: String { get }
    /// All accepted values, if that is a list.
    var choices: [String] { get }
}

/// `--name VALUE` or `--name=VALUE`. The name is the property's in kebab case. Without a default it must be given,
/// unless its type is optional or an array (which collects every occurrence).
@propertyWrapper
public final class Option<Value>: Declaration {
    let help: String
    let givenName: String?
    let valueName: String?
    let isPositional = false
    let isRequired: Bool
    let defaultText: String?
    let expectation: String
    let choices: [String]
    private let read: (String, Value?) -> Value?
    private let isRepeatable: Bool
    private(set) var words: [String] = []
    private var value: Value?

    var accepts: Bool { isRepeatable || words.isEmpty }

    /// The value. Reading a required one before the command line was parsed is a bug.
    public var wrappedValue: Value {
        get {
            guard let value else { preconditionFailure("option read before it was parsed: \(help)") }
            return value
        }
        set { value = newValue }
    }

    /// Gives access to ``isGiven``.
    public var projectedValue: Option<Value> { self }

    /// Whether the user wrote it.
    public var isGiven: Bool { !words.isEmpty }

    private init(
        _ help: String, name: String?, value valueName: String, initial: Value?, required: Bool, repeatable: Bool,
        defaultText: String?, type: any ArgumentValue.Type, read: @escaping (String, Value?) -> Value?
    ) {
        self.help = help
        self.givenName = name
        self.valueName = valueName
        self.value = initial
        isRequired = required
        isRepeatable = repeatable
        self.defaultText = defaultText
        expectation = type.expectation
        choices = type.choices
        self.read = read
    }

    /// A required option.
    public convenience init(_ help: String, name: String? = nil, value: String) where Value: ArgumentValue {
        self.init(
            help, name: name, value: value, initial: nil, required: true, repeatable: false, defaultText: nil,
            type: Value.self, read: { word, _ in Value(argument: word) })
    }

    /// An option with a default.
    public convenience init(
        wrappedValue: Value, _ help: String, name: String? = nil, value: String
    ) where Value: ArgumentValue {
        self.init(
            help, name: name, value: value, initial: wrappedValue, required: false, repeatable: false,
            defaultText: wrappedValue.argumentText, type: Value.self,
            read: { word, _ in Value(argument: word) })
    }

    /// An optional option.
    public convenience init<Wrapped: ArgumentValue>(
        wrappedValue: Wrapped? = nil, _ help: String, name: String? = nil, value: String
    ) where Value == Wrapped? {
        self.init(
            help, name: name, value: value, initial: .some(wrappedValue), required: false, repeatable: false,
            defaultText: wrappedValue?.argumentText, type: Wrapped.self,
            read: { word, _ in Wrapped(argument: word).map { .some($0) } })
    }

    /// An option that may be repeated.
    public convenience init<Element: ArgumentValue>(
        wrappedValue: [Element] = [], _ help: String, name: String? = nil, value: String
    ) where Value == [Element] {
        self.init(
            help, name: name, value: value, initial: wrappedValue, required: false, repeatable: true,
            defaultText: nil, type: Element.self,
            read: { word, earlier in Element(argument: word).map { (earlier ?? []) + [$0] } })
    }

    func take(_ word: String) -> Bool {
        guard let new = read(word, isGiven || isRepeatable ? value : nil) else { return false }
        value = new
        words.append(word)
        return true
    }
}

/// `--name`, false unless given.
@propertyWrapper
public final class Flag: Declaration {
    let help: String
    let givenName: String?
    let valueName: String? = nil
    let isPositional = false
    let isRequired = false
    let accepts = true
    let defaultText: String? = nil
    let expectation = "no value"
    let choices: [String] = []
    /// Whether it was given.
    public var wrappedValue = false
    private(set) var words: [String] = []

    /// A flag.
    public init(_ help: String, name: String? = nil) {
        self.help = help
        givenName = name
    }

    func take(_ word: String) -> Bool {
        wrappedValue = true
        words = [word]
        return true
    }
}

/// A word without `--`, required.
@propertyWrapper
public final class Argument<Value: ArgumentValue>: Declaration {
    let help: String
    let givenName: String? = nil
    let valueName: String?
    let isPositional = true
    let isRequired = true
    let defaultText: String? = nil
    let expectation = Value.expectation
    let choices = Value.choices
    private(set) var words: [String] = []
    private var value: Value?

    var accepts: Bool { value == nil }

    /// The value. Reading it before the command line was parsed is a fault.
    public var wrappedValue: Value {
        get {
            guard let value else { preconditionFailure("argument read before it was parsed: \(help)") }
            return value
        }
        set { value = newValue }
    }

    /// A positional argument.
    public init(_ help: String, value: String) {
        self.help = help
        valueName = value
    }

    func take(_ word: String) -> Bool {
        guard let new = Value(argument: word) else { return false }
        value = new
        words = [word]
        return true
    }
}

/// Options that several subcommands share: a struct with declared properties, and `init()`.
@propertyWrapper
public struct OptionGroup<Group> {
    /// The options.
    public var wrappedValue: Group

    /// Includes a group.
    public init(wrappedValue: Group) { self.wrappedValue = wrappedValue }
}

extension OptionGroup: GroupDeclaration {
    var group: Any { wrappedValue }
}

/// What the parser needs to know about an included group.
protocol GroupDeclaration {
    var group: Any { get }
}

/// The declared properties of a command or group, including those of its groups, with the names that users write.
func declarations(in value: Any) -> [(name: String, declaration: any Declaration)] {
    Mirror(reflecting: value).children.flatMap { child -> [(String, any Declaration)] in
        if let group = child.value as? any GroupDeclaration { return declarations(in: group.group) }
        guard let declaration = child.value as? any Declaration else { return [] }
        let property = child.label.map { $0.hasPrefix("_") ? String($0.dropFirst()) : $0 } ?? ""
        return [(declaration.givenName ?? property.kebabCased, declaration)]
    }
}

/// Whether a value of this placeholder names a file or a folder.
func isPath(valueName: String?) -> Bool {
    guard let valueName else { return false }
    return ["FILE", "DIR", "PATH", "FOLDER"].contains { valueName.hasSuffix($0) }
}
