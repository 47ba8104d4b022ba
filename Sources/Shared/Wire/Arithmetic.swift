/// The names of arithmetics that evaluate masks, as sent in a worker's hello. Two workers with equal arithmetic compute
/// the same bits; others agree within a tolerance.
public enum Arithmetic {
    /// The lane kernels of this release: fused multiply-adds in the order of the channels, our own exponential and
    /// logarithm; the same bits with every instruction set.
    public static let lanes = "lanes 1"
}
