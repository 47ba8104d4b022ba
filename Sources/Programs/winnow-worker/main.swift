import Worker

workerProgram.main()
