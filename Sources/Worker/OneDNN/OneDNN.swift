import COneDNN
import Shared

/// oneDNN on one thread. Everything made with it is used by one thread at a time.
///
/// Its own threads are turned off: two of them on one small convolution are slower than one, and their spinning wastes
/// the time of other processes. Threads compute different shards instead.
final class OneDNN {
    fileprivate private(set) var engine: dnnl_engine_t?
    fileprivate private(set) var stream: dnnl_stream_t?
    private var scratchpads: [OneDNNMemory] = []
    private var scratchpadBytes = 0
    private var scratchpad: AlignedBuffer?

    init() throws {
        Self.useOneThread()
        try Self.check(dnnl_engine_create(&engine, dnnl_cpu, 0), "make an engine")
        try Self.check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags.rawValue), "make a stream")
    }

    deinit {
        scratchpads = []
        dnnl_stream_destroy(stream)
        dnnl_engine_destroy(engine)
    }

    /// Keeps oneDNN from creating threads when the calling thread makes or runs operations.
    static func useOneThread() { omp_set_num_threads(1) }

    /// Throws an `.internalFault` that says what failed.
    static func check(_ status: dnnl_status_t, _ action: String) throws {
        guard status == dnnl_success else {
            throw Failure(.internalFault, "oneDNN could not \(action) (status \(status.rawValue))")
        }
    }

    /// c = a b, row-major, `[rows, columns]`, the sums over `depth`; "T" transposes.
    static func multiply(
        _ transposeA: Character, _ transposeB: Character, _ rows: Int, _ columns: Int, _ depth: Int,
        _ a: UnsafeMutablePointer<Float>, _ aStride: Int, _ b: UnsafeMutablePointer<Float>, _ bStride: Int,
        _ c: UnsafeMutablePointer<Float>
    ) throws {
        func code(_ character: Character) -> CChar { CChar(character.asciiValue ?? 0) }
        try check(
            dnnl_sgemm(
                code(transposeA), code(transposeB), dnnl_dim_t(rows), dnnl_dim_t(columns), dnnl_dim_t(depth), 1, a,
                dnnl_dim_t(aStride), b, dnnl_dim_t(bStride), 0, c, dnnl_dim_t(columns)), "multiply matrices")
    }

    /// An array of up to four dimensions in a given layout or, with `dnnl_format_tag_any`, in oneDNN's choice.
    static func descriptor(
        _ shape: [Int], _ layout: dnnl_format_tag_t, _ precision: TrainingPrecision = .float32
    ) throws -> dnnl_memory_desc_t {
        var descriptor = dnnl_memory_desc_t()
        let dimensions = shape.map { dnnl_dim_t($0) }
        try check(
            dnnl_memory_desc_init_by_tag(
                &descriptor, CInt(shape.count), dimensions, precision == .bfloat16 ? dnnl_bf16 : dnnl_f32, layout),
            "describe an array")
        return descriptor
    }

    /// Makes an operation from a descriptor (`dnnl_convolution_desc_t` or the like); its arguments follow later.
    func plan<Descriptor>(
        _ descriptor: Descriptor, hint: OneDNNPlan? = nil, _ action: String
    ) throws -> OneDNNPlan {
        var attributes: dnnl_primitive_attr_t?
        try Self.check(dnnl_primitive_attr_create(&attributes), action)
        defer { dnnl_primitive_attr_destroy(attributes) }
        try Self.check(dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user), action)
        var handle: dnnl_primitive_desc_t?
        try withUnsafePointer(to: descriptor) { pointer in
            try Self.check(dnnl_primitive_desc_create(&handle, pointer, attributes, engine, hint?.handle), action)
        }
        return try OneDNNPlan(handle, action)
    }

    /// Plans a copy from one layout to another.
    func planReorder(from source: dnnl_memory_desc_t, to destination: dnnl_memory_desc_t) throws -> OneDNNPlan {
        var attributes: dnnl_primitive_attr_t?
        try Self.check(dnnl_primitive_attr_create(&attributes), "plan a reorder")
        defer { dnnl_primitive_attr_destroy(attributes) }
        try Self.check(
            dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user), "plan a reorder")
        var handle: dnnl_primitive_desc_t?
        try withUnsafePointer(to: source) { source in
            try withUnsafePointer(to: destination) { destination in
                try Self.check(
                    dnnl_reorder_primitive_desc_create(&handle, source, engine, destination, engine, attributes),
                    "plan a reorder")
            }
        }
        return try OneDNNPlan(handle, "plan a reorder")
    }

    /// An operation on fixed memory.
    func operation(_ plan: OneDNNPlan, _ arguments: [(CInt, OneDNNMemory)]) throws -> OneDNNOperation {
        var arguments = arguments
        let descriptor = try plan.memory(dnnl_query_scratchpad_md)
        let bytes = withUnsafePointer(to: descriptor) { dnnl_memory_desc_get_size($0) }
        if bytes > 0 {
            let memory = try OneDNNMemory(self, descriptor, nil)
            scratchpads.append(memory)
            arguments.append((DNNL_ARG_SCRATCHPAD, memory))
            // Operations run one after the other, so they share one scratchpad, which grows until all are made.
            if bytes > scratchpadBytes {
                scratchpadBytes = bytes
                let buffer = AlignedBuffer(count: (bytes + 3) / 4)
                for memory in scratchpads { try memory.move(to: buffer.pointer) }
                scratchpad = buffer
            } else if let scratchpad {
                try memory.move(to: scratchpad.pointer)
            }
        }
        return try OneDNNOperation(self, plan, arguments)
    }
}

/// oneDNN's decisions for an operation: implementation and layouts.
final class OneDNNPlan {
    fileprivate let handle: dnnl_primitive_desc_t

    fileprivate init(_ handle: dnnl_primitive_desc_t?, _ action: String) throws {
        guard let handle else { throw Failure(.internalFault, "oneDNN could not \(action)") }
        self.handle = handle
    }

    deinit { dnnl_primitive_desc_destroy(handle) }

    /// Its preferred layout for one of its arguments.
    func memory(_ query: dnnl_query_t) throws -> dnnl_memory_desc_t {
        guard let descriptor = dnnl_primitive_desc_query_md(handle, query, 0) else {
            throw Failure(.internalFault, "oneDNN does not report a layout (query \(query.rawValue))")
        }
        return descriptor.pointee
    }
}

/// An array for oneDNN. The memory belongs to someone else, or to `buffer`.
final class OneDNNMemory {
    fileprivate private(set) var handle: dnnl_memory_t?
    private var buffer: AlignedBuffer?

    /// The array at an address; nil if ``move(to:)`` follows.
    init(_ context: OneDNN, _ descriptor: dnnl_memory_desc_t, _ pointer: UnsafeMutableRawPointer?) throws {
        try withUnsafePointer(to: descriptor) {
            try OneDNN.check(dnnl_memory_create(&handle, $0, context.engine, pointer), "make an array")
        }
    }

    /// An array with its own memory.
    convenience init(allocating descriptor: dnnl_memory_desc_t, _ context: OneDNN) throws {
        let bytes = withUnsafePointer(to: descriptor) { dnnl_memory_desc_get_size($0) }
        let buffer = AlignedBuffer(count: (bytes + 3) / 4)
        try self.init(context, descriptor, buffer.pointer)
        self.buffer = buffer
    }

    deinit { dnnl_memory_destroy(handle) }

    fileprivate func move(to pointer: UnsafeMutablePointer<Float>) throws {
        try OneDNN.check(dnnl_memory_set_data_handle(handle, pointer), "place an array")
    }
}

/// An operation of oneDNN on fixed memory, to run repeatedly.
final class OneDNNOperation {
    private var handle: dnnl_primitive_t?
    private let context: OneDNN
    private let memory: [OneDNNMemory]
    private let arguments: [dnnl_exec_arg_t]

    fileprivate init(_ context: OneDNN, _ plan: OneDNNPlan, _ arguments: [(CInt, OneDNNMemory)]) throws {
        try OneDNN.check(dnnl_primitive_create(&handle, plan.handle), "make an operation")
        self.context = context
        memory = arguments.map(\.1)
        self.arguments = arguments.map { dnnl_exec_arg_t(arg: $0.0, memory: $0.1.handle) }
    }

    deinit { dnnl_primitive_destroy(handle) }

    func run() throws {
        try OneDNN.check(
            dnnl_primitive_execute(handle, context.stream, CInt(arguments.count), arguments), "run an operation")
    }
}
