import Demonstration

demonstrationProgram.main()
