// The web app's side: reads every run with its relations, and does what its users do. One JSON document on stdout.
import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient } from "./prisma/generated/client/index.js";

const prisma = new PrismaClient({ adapter: new PrismaPg({}) });
const [action, runId, value] = process.argv.slice(2);

const actions = {
  read: () =>
    prisma.user.findMany({
      include: {
        runs: {
          orderBy: { id: "asc" },
          include: {
            opportunityCards: { orderBy: { number: "asc" } },
            inspirationReport: true,
            stageOutputs: { orderBy: { stageNumber: "asc" } },
          },
        },
      },
    }),
  star: () => prisma.opportunityCard.updateMany({ where: { runId, number: 1 }, data: { starred: true } }),
  retitle: () =>
    prisma.opportunityCard.update({ where: { runId_number: { runId, number: 1 } }, data: { title: value } }),
  remove: () => prisma.run.delete({ where: { id: runId } }),
};

try {
  console.log(JSON.stringify(await actions[action]()));
} finally {
  await prisma.$disconnect();
}
