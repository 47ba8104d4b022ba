import CJPEG
import CPNG
import CWebP
import Foundation

/// A decoded picture, `[row, column, channel]` of red, green and blue bytes.
struct Picture: ~Copyable {
    /// The most pixels of a picture: twice those of the largest cameras, to bound what a small file can demand.
    private static let pixelsMax = 100_000_000
    /// The longest file.
    private static let fileBytesMax = 1 << 28

    let width: Int
    let height: Int
    /// The bytes, which the picture owns.
    let rgb: UnsafeMutablePointer<UInt8>

    /// Takes memory for a picture.
    init(width: Int, height: Int) {
        self.width = width
        self.height = height
        // C's allocator, since the decoders' memory comes from it too.
        guard let memory = malloc(max(1, width * height * 3)) else { preconditionFailure("no memory for a picture") }
        rgb = memory.assumingMemoryBound(to: UInt8.self)
    }

    /// Reads and decodes a JPEG, PNG or WebP. Throws a `.badInput` ``Failure`` that says what is wrong with it, but not
    /// which file it is.
    init(at path: String) throws {
        self = try Picture(decoding: InputFile.bytes(at: path, bytesMax: Self.fileBytesMax))
    }

    /// Decodes a JPEG, PNG or WebP. Throws a `.badInput` ``Failure`` that says what is wrong with it.
    init(decoding bytes: [UInt8]) throws {
        if bytes.starts(with: [0xFF, 0xD8]) {
            self = try Self.decoded(bytes, Int(WINNOW_JPEG_MESSAGE), winnow_jpeg_decode)
        } else if bytes.starts(with: [0x89, 0x50, 0x4E, 0x47]) {
            self = try Self.decoded(bytes, Int(WINNOW_PNG_MESSAGE), winnow_png_decode)
        } else if bytes.starts(with: Array("RIFF".utf8)), bytes.dropFirst(8).starts(with: Array("WEBP".utf8)) {
            self = try Self.webP(bytes)
        } else {
            throw Failure(.badInput, "it is not a JPEG, PNG or WebP")
        }
    }

    deinit { free(rgb) }

    private init(owning rgb: UnsafeMutablePointer<UInt8>, width: Int, height: Int) {
        self.rgb = rgb
        self.width = width
        self.height = height
    }

    /// How the decoders of `CJPEG` and `CPNG` are called.
    private typealias Decoder = (
        UnsafePointer<UInt8>?, Int, Int, UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>?,
        UnsafeMutablePointer<Int32>?, UnsafeMutablePointer<Int32>?, UnsafeMutablePointer<CChar>?
    ) -> Int32

    private static func decoded(_ bytes: [UInt8], _ messageBytes: Int, _ decode: Decoder) throws -> Picture {
        var message = [CChar](repeating: 0, count: messageBytes)
        var rgb: UnsafeMutablePointer<UInt8>?
        var (width, height) = (Int32(0), Int32(0))
        guard decode(bytes, bytes.count, pixelsMax, &rgb, &width, &height, &message) == 0, let rgb else {
            let text = message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
            throw Failure(.badInput, String(decoding: text, as: UTF8.self))
        }
        return Picture(owning: rgb, width: Int(width), height: Int(height))
    }

    private static func webP(_ bytes: [UInt8]) throws -> Picture {
        var features = WebPBitstreamFeatures()
        guard WebPGetFeatures(bytes, bytes.count, &features) == VP8_STATUS_OK else {
            throw Failure(.badInput, "it is cut short or damaged")
        }
        guard features.has_animation == 0 else { throw Failure(.badInput, "it is animated") }
        let (width, height) = (Int(features.width), Int(features.height))
        guard width > 0, height > 0, width * height <= pixelsMax else {
            throw Failure(.badInput, "it has \(width) × \(height) pixels, too many")
        }
        let picture = Picture(width: width, height: height)
        guard WebPDecodeRGBInto(bytes, bytes.count, picture.rgb, width * height * 3, Int32(width * 3)) != nil else {
            throw Failure(.badInput, "it is cut short or damaged")
        }
        return picture
    }
}
