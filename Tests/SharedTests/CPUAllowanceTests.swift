import Testing

@testable import Shared

@Test func theKernelSaysHowMuchMemoryIsAvailable() {
    let text = "MemTotal:       24640872 kB\nMemFree:          500000 kB\nMemAvailable:   23488736 kB\n"
    #expect(MemoryAllowance.available(meminfo: text) == 23_488_736 * 1024)
    #expect(MemoryAllowance.available(meminfo: "MemTotal:       24640872 kB\n") == nil)
    #expect(MemoryAllowance.available > 1 << 20)
}

struct CPUAllowanceTests {
    @Test func quotasOfControlGroupsLimitTheProcessors() {
        let files = [
            "/sys/fs/cgroup/a/b/cpu.max": "max 100000\n", "/sys/fs/cgroup/a/cpu.max": "150000 100000\n",
            "/sys/fs/cgroup/cpu/old/cpu.cfs_quota_us": "50000\n",
            "/sys/fs/cgroup/cpu/old/cpu.cfs_period_us": "100000\n",
            "/sys/fs/cgroup/cpu/free/cpu.cfs_quota_us": "-1\n",
            "/sys/fs/cgroup/cpu/free/cpu.cfs_period_us": "100000\n",
        ]
        func quota(_ cgroups: String) -> Double? { CPUAllowance.quota(cgroups: cgroups) { files[$0] } }
        #expect(quota("0::/a/b\n") == 1.5)
        #expect(quota("4:memory:/old\n3:cpu,cpuacct:/old\n") == 0.5)
        #expect(quota("3:cpu:/free\n") == nil)
        #expect(quota("") == nil)
        #expect(CPUAllowance.processors >= 1)
    }
}
