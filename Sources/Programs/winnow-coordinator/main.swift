import Coordinator

coordinatorProgram.main()
