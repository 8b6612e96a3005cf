"""The questions: short ones of many kinds, written for this, each with more than one word to answer."""

QUESTIONS = (
    "Name the seven days of the week in order, and say which of them you would choose for a market.",
    "A train leaves at 9:40 and arrives at 13:05. How long does it travel? Show each step.",
    "Explain to a child why the moon seems to change its shape.",
    "Write four lines of verse about a lighthouse in winter.",
    "List five things that one should check before leaving a house for two weeks.",
    "What is the difference between weather and climate? Answer in three sentences.",
    "Write a Python function that returns the largest even number of a list, or None.",
    "A shop takes 15 % off a coat of 80 euros, then 10 % off the rest. What is paid? Show the steps.",
    "Summarise in two sentences why bridges have gaps in their road surface.",
    "Give a recipe for a soup of potatoes and leeks, with amounts for two people.",
    "Translate into French: The library opens at ten, but the reading room stays closed on Mondays.",
    "Describe the water cycle, from the sea and back to it.",
    "Which is heavier, a litre of water or a litre of ice? Say why.",
    "Write a polite letter of three sentences that asks a neighbour to keep a dog quiet at night.",
    "Put these words in alphabetical order and explain the order: plum, pear, peach, papaya, pea.",
    "What happens in a computer between pressing a key and seeing the letter?",
    "Continue the story: The clock in the station had stopped, yet everybody arrived on time.",
    "Name three advantages and three drawbacks of working at night.",
    "Tom is older than Ann. Ann is older than Lee. Who is the youngest? Explain.",
    "Write SQL that counts the orders of each customer in the year 2025, the most first.",
)
