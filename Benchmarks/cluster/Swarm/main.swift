import Shared

Program(
    name: "winnow-swarm", summary: "load a coordinator with thousands of workers that compute nothing",
    version: Version.number, commands: [Swarm.self, Fill.self]
).main()
