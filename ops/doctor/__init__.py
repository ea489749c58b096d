"""`ops doctor`: looks at everything that runferry stands on, and says what is wrong and what to do."""
